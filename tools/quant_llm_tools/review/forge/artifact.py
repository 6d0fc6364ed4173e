"""The document of a review as a stranger hands it over: bounded, of the right form, and rendered here."""

from __future__ import annotations

import io
import json
import lzma
import struct
import zipfile
import zlib
from typing import Any, Final

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.document import from_document
from quant_llm_tools.review.markdown import MARKER, markdown
from quant_llm_tools.review.markup import code

ARTIFACT: Final = "quantllm-review"
"""The name of the artifact at GitHub, and of the job at GitLab."""

DOCUMENT: Final = "quantllm-review.json"
"""The one file in it that is read."""

MOST_BYTES: Final = 5_000_000
"""Of the archive, and of the document in it."""


_UNREADABLE: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(ArithmeticError, EOFError, KeyError, OSError, RuntimeError, ValueError),
)
"""What `zipfile` and its decompressors raise for bytes that somebody has made for the purpose."""


def unpacked(archive: bytes) -> bytes:
    """The document in a zip archive; nothing is written to disk, and not more than MOST_BYTES is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files, files.open(DOCUMENT) as file:
            document = file.read(MOST_BYTES + 1)
    except _UNREADABLE as error:
        raise QuantLlmError(
            f"the artifact is no zip archive with {DOCUMENT} ({type(error).__name__})"
        ) from None
    if len(document) > MOST_BYTES:
        raise QuantLlmError(f"the artifact's {DOCUMENT} has more than {MOST_BYTES:,} bytes")
    return document


def comment(document: bytes, commit: str) -> str:
    """The comment on a document; QuantLlmError, not quoting it, for one that is no review."""
    try:
        review, verdict = from_document(json.loads(document, parse_constant=_refuse))
        return markdown(review, verdict, footer=_footer(commit))
    except (ValueError, RecursionError) as error:
        raise QuantLlmError(f"the artifact's {DOCUMENT} is no JSON ({type(error).__name__})") from None


def _refuse(name: str) -> Any:
    raise ValueError(name)


def failure(reason: str, commit: str) -> str:
    """The comment where there is no review; `reason` is a sentence of ours."""
    return f"{MARKER}\n## ⛔ No infrastructure review: {reason}\n\n{_footer(commit)}\n"


def _footer(commit: str) -> str:
    return f"Made by the code of {code(commit[:12])} itself, and shown by this repository's."
