"""Which files of a repository make the artifact."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from quant_llm.errors import QuantLlmError

MAX_SEGMENT_BYTES = 255  # a file name's limit on Linux
# An object's key has 1,024 bytes at most, and before a file's path it has the model's name (63), the lock's
# digest (64) and what else is in `models/<name>/<digest>/files/`.
MAX_PATH_BYTES = 1024 - 63 - 64 - len("models///files/")

# What vLLM and ExLlamaV2 read, from the repository's root. Weights in other formats (*.bin, *.pth, *.gguf,
# the duplicate consolidated*.safetensors of some publishers), code (*.py), pictures and texts stay out.
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
    """One file of the hub's listing; `sha256` where the hub states it, else only git's SHA-1 `blob_id`."""

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


def count_files(number: int) -> str:
    """A number of files in words."""
    return "1 file" if number == 1 else f"{number} files"


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
        _check_safetensors(chosen, engine, listing, patterns)
    return sorted(chosen, key=lambda file: file.path)


def weight_files(chosen: Iterable[HubFile], engine: str) -> list[HubFile]:
    """Those of the chosen files that hold weights."""
    suffix = ".gguf" if engine == "llama.cpp" else ".safetensors"
    return [file for file in chosen if file.path.endswith(suffix)]


def gguf_sets(files: Iterable[HubFile]) -> dict[str, list[HubFile]]:
    """The GGUF models among files: a file each, or a shard set, which has `*` in its name for the number."""
    sets: dict[str, list[HubFile]] = {}
    for file in weight_files(files, "llama.cpp"):
        shard = _SHARD.fullmatch(file.path)
        name = f"{shard['stem']}-*-of-{shard['count']}.gguf" if shard else file.path
        sets.setdefault(name, []).append(file)
    return sets


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
        raise QuantLlmError(
            f"{asked} no GGUF, which llama.cpp needs; the repository has {_describe(listing)}"
        )
    sets = gguf_sets(models)
    if len(sets) > 1:
        candidates = [
            f"{name} ({human_bytes(sum(file.size for file in sets[name]))})" for name in sorted(sets)
        ]
        raise QuantLlmError(
            f"{asked} {len(sets)} GGUF models, expected one: choose by `source.files` "
            f"from {_shorten(candidates)}"
        )
    ((name, files),) = sets.items()
    if shard := _SHARD.fullmatch(files[0].path):
        count = int(shard["count"])
        wanted = {f"{shard['stem']}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)}
        found = {file.path for file in files}
        if found != wanted:
            raise QuantLlmError(
                f"the shard set {name} is not whole: missing {_shorten(sorted(wanted - found)) or 'none'}, "
                f"unexpected {_shorten(sorted(found - wanted)) or 'none'}"
            )


def _check_safetensors(
    chosen: list[HubFile], engine: str, listing: Sequence[HubFile], patterns: Sequence[str]
) -> None:
    asked = f"the patterns {list(patterns)} match" if patterns else "the repository's root has"
    for wanted, there in (
        ("*.safetensors", bool(weight_files(chosen, engine))),
        ("config.json", any(file.path == "config.json" for file in chosen)),
    ):
        if not there:
            raise QuantLlmError(
                f"{asked} no {wanted}, which {engine} needs; the repository has {_describe(listing)}"
            )


def _refuse_names(files: Sequence[HubFile]) -> None:
    """Refuse names that would not come out of the archive as they went in, on Linux or on a laptop."""
    taken: dict[str, str] = {}
    for file in files:
        segments = file.path.split("/")
        if problem := next(filter(None, map(_segment_problem, segments)), None):
            raise QuantLlmError(f"the file name {file.path!r} is refused: {problem}")
        if len(file.path.encode()) > MAX_PATH_BYTES:
            raise QuantLlmError(
                f"the file name {file.path!r} is refused: it is longer than {MAX_PATH_BYTES} bytes"
            )
        # A folder is taken too, so that no file has the name of another's folder.
        for depth in range(1, len(segments) + 1):
            name = "/".join(segments[:depth])
            # macOS and Windows take names that differ in case or in Unicode composition for the same.
            folded = unicodedata.normalize("NFC", name).casefold()
            kind = "file" if depth == len(segments) else "folder"
            if taken.setdefault(folded, f"{kind} {name}") != f"{kind} {name}":
                raise QuantLlmError(f"the names of {taken[folded]!r} and {f'{kind} {name}'!r} clash")
    if len({file.path for file in files}) != len(files):
        raise QuantLlmError("the hub lists a file twice")


def _segment_problem(segment: str) -> str | None:
    if segment in ("", ".", ".."):
        return "it is absolute, or has an empty part, '.' or '..'"
    if len(segment.encode(errors="surrogatepass")) > MAX_SEGMENT_BYTES:
        return f"a part of it is longer than {MAX_SEGMENT_BYTES} bytes"
    if not segment.isprintable() or "\\" in segment:
        return "it has a control character or a backslash"
    return None


def _describe(listing: Sequence[HubFile]) -> str:
    by_size = sorted(listing, key=lambda file: (-file.size, file.path))
    return _shorten([f"{file.path} ({human_bytes(file.size)})" for file in by_size]) or "no files"


def _shorten(names: Sequence[str]) -> str:
    more = len(names) - _LISTED_CANDIDATES
    return ", ".join(names[:_LISTED_CANDIDATES]) + (f" and {more} more" if more > 0 else "")
