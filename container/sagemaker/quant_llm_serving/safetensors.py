"""Whether a safetensors file is whole, told from its header alone.

The layout is that of the `safetensors` library: eight bytes with the header's length, a JSON object that
gives each tensor's place, and the tensors' data. A download that broke off, or a cut archive, ends early.
"""

from __future__ import annotations

import json
from pathlib import Path

from quant_llm_serving.errors import ModelError

_LENGTH_BYTES = 8
_HEADER_LIMIT = 100_000_000  # the library's own


def check_safetensors(path: Path) -> None:
    """Raises ModelError for a file that is not safetensors, or ends before its last tensor does."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            header = file.read(min(length, _HEADER_LIMIT))
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}") from error
    if size < _LENGTH_BYTES or length > _HEADER_LIMIT or not header.startswith(b"{"):
        raise ModelError(f"{path} is not a safetensors file")
    if len(header) < length:
        raise ModelError(f"{path} is cut off: its header has {length} bytes, and the file has {size}")
    try:
        tensors = json.loads(header)
        end = max((t["data_offsets"][1] for name, t in tensors.items() if name != "__metadata__"), default=0)
        expected = _LENGTH_BYTES + length + int(end)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} has a header that can't be read: {error!r}") from error
    if size < expected:
        raise ModelError(f"{path} is cut off: it has {size} bytes, expected {expected}")
