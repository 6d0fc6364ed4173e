"""Which files of a repository make the artifact."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from quant_llm.errors import QuantLlmError

MAX_SEGMENT_BYTES = 255  # a file name's limit on Linux

# What vLLM and ExLlamaV2 read, from the repository's root. Weights in other formats (*.bin, *.pth, *.gguf, the
# duplicate consolidated*.safetensors of some publishers), code (*.py), pictures and texts stay out.
DEFAULT_PATTERNS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "quant_config.json",
    "quantize_config.json",
    "tokenizer*.json",
    "tokenizer.model*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tekken.json",
    "*.tiktoken",
    "chat_template*.json",
    "chat_template*.jinja",
    "preprocessor_config.json",
    "processor_config.json",
)
DEFAULT_EXCLUDED = ("consolidated*.safetensors",)

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_LISTED_CANDIDATES = 20


@dataclass(frozen=True)
class HubFile:
    """One file of the hub's listing: `sha256` where the hub states it, else only git's `blob_id` (a SHA-1)."""

    path: str
    size: int
    blob_id: str
    sha256: str | None


def human_bytes(size: int) -> str:
    """A size in decimal units.

    >>> human_bytes(98362432)
    '98.4 MB'
    """
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def select_files(listing: Sequence[HubFile], engine: str, patterns: Sequence[str]) -> list[HubFile]:
    """The files to take, in order of path.

    A pattern is matched against the whole path and `*` also matches `/`, as in `hf download --include`. Every
    pattern must match. Without patterns llama.cpp takes the repository's one GGUF or shard set, and the other
    engines take DEFAULT_PATTERNS. QuantLlmError, with the candidates, where that isn't one complete model.
    """
    if patterns:
        chosen = _matching(listing, patterns)
    elif engine == "llama.cpp":
        chosen = [file for file in listing if file.path.endswith(".gguf")]
    else:
        chosen = [
            file
            for file in listing
            if "/" not in file.path
            and _matches(file.path, DEFAULT_PATTERNS)
            and not _matches(file.path, DEFAULT_EXCLUDED)
        ]
    _refuse_names(chosen)
    if engine == "llama.cpp":
        _check_one_gguf(chosen, listing, patterns)
    else:
        _check_safetensors(chosen, listing, patterns)
    return sorted(chosen, key=lambda file: file.path)


def weight_files(chosen: Iterable[HubFile], engine: str) -> list[HubFile]:
    """Those of the chosen files that hold weights."""
    suffix = ".gguf" if engine == "llama.cpp" else ".safetensors"
    return [file for file in chosen if file.path.endswith(suffix)]


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _matching(listing: Sequence[HubFile], patterns: Sequence[str]) -> list[HubFile]:
    for pattern in patterns:
        if not any(fnmatchcase(file.path, pattern) for file in listing):
            raise QuantLlmError(
                f"no file matches the pattern {pattern!r}; the repository has {_describe(listing)}"
            )
    return [file for file in listing if _matches(file.path, patterns)]


def _check_one_gguf(chosen: list[HubFile], listing: Sequence[HubFile], patterns: Sequence[str]) -> None:
    models = weight_files(chosen, "llama.cpp")
    asked = f"the patterns {list(patterns)} match" if patterns else "the repository has"
    if not models:
        raise QuantLlmError(f"{asked} no GGUF, which llama.cpp needs; the repository has {_describe(listing)}")
    sets: dict[str, list[HubFile]] = {}
    for file in models:
        shard = _SHARD.fullmatch(file.path)
        name = f"{shard['stem']}-*-of-{shard['count']}.gguf" if shard else file.path
        sets.setdefault(name, []).append(file)
    if len(sets) > 1:
        candidates = [f"{name} ({human_bytes(sum(file.size for file in sets[name]))})" for name in sorted(sets)]
        raise QuantLlmError(
            f"{asked} {len(sets)} GGUF models, expected one: choose by `source.files` from {_shorten(candidates)}"
        )
    ((name, files),) = sets.items()
    if shard := _SHARD.fullmatch(files[0].path):
        wanted = {f"{shard['stem']}-{number:05}-of-{shard['count']}.gguf" for number in _shard_numbers(shard)}
        if missing := sorted(wanted - {file.path for file in files}):
            raise QuantLlmError(f"the shard set {name} lacks {_shorten(missing)}")
