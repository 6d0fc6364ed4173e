"""Locks one model: from what the agency file asks for to commit, files, hashes and shape."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from quant_llm.agency import LockedFile, ModelLock, ModelShape, SourceConfig, locked_source
from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.gguf import read_gguf_header
from quant_llm_tools.lock.hub import ModelRepository
from quant_llm_tools.lock.safetensors import read_safetensors_header
from quant_llm_tools.lock.selection import HubFile, count_files, human_bytes, select_files, weight_files
from quant_llm_tools.lock.shape import gguf_shape, safetensors_shape

MAX_SMALL_FILE_BYTES = 32 * 2**20

ReadRange = Callable[[int, int], bytes]
_Header = TypeVar("_Header")


class Lockable(Protocol):
    """What has a source at the hub, and an engine that says which files of it are the model."""

    @property
    def source(self) -> SourceConfig:
        """The repository, revision and files."""
        ...

    @property
    def engine(self) -> str:
        """Whose files are taken."""
        ...


def lock_model(model: Lockable, repository: ModelRepository, progress: Callable[[str], None]) -> ModelLock:
    """Resolve a model's source at the hub; `progress` is told each step. QuantLlmError says what is wrong.

    Of the weights only the headers are read. Small files, for which the hub has no sha256, are read whole.
    """
    source = model.source
    progress(f"asking for {source.hub} at {source.revision}")
    commit = repository.resolve()
    listing = repository.files(commit)
    chosen = select_files(listing, model.engine, source.files)
    total = human_bytes(sum(file.size for file in chosen))
    progress(f"commit {commit[:12]}: {count_files(len(chosen))} of {len(listing)}, {total}")
    reader = Reader(repository, commit, progress)
    files = [
        LockedFile(path=file.path, size=file.size, sha256=file.sha256 or reader.sha256(file))
        for file in chosen
    ]
    shape = _shape(reader, chosen, model.engine)
    return ModelLock(source=locked_source(source), commit=commit, files=files, shape=shape)


def read_shape(
    repository: ModelRepository,
    commit: str,
    chosen: Sequence[HubFile],
    engine: str,
    progress: Callable[[str], None],
) -> ModelShape:
    """The shape of the model in files of a commit, for which only headers and config.json are read."""
    return _shape(Reader(repository, commit, progress), chosen, engine)


def _shape(reader: Reader, chosen: Sequence[HubFile], engine: str) -> ModelShape:
    weights = weight_files(chosen, engine)
    weight_bytes = sum(file.size for file in weights)
    if engine == "llama.cpp":
        return gguf_shape([reader.header(file, read_gguf_header) for file in weights], weight_bytes)
    config = next(file for file in chosen if file.path == "config.json")
    fields = reader.json(config)
    headers = [reader.header(file, read_safetensors_header) for file in weights]
    return safetensors_shape(fields, [tensor for header in headers for tensor in header], weight_bytes)


class Reader:
    """Reads what is needed of a commit's files: headers of large ones, small ones whole, checked and once."""

    def __init__(self, repository: ModelRepository, commit: str, progress: Callable[[str], None]) -> None:
        self._repository = repository
        self._commit = commit
        self._progress = progress
        self._contents: dict[str, bytes] = {}

    def header(self, file: HubFile, parse: Callable[[ReadRange, int], _Header]) -> _Header:
        """What `parse` makes of the beginning of a file; QuantLlmError with the file's name."""
        bytes_read = 0

        def read(start: int, end: int) -> bytes:
            nonlocal bytes_read
            bytes_read += end - start
            return self._repository.read(self._commit, file, start, end) if end > start else b""

        try:
            header = parse(read, file.size)
        except QuantLlmError as error:
            raise QuantLlmError(f"{file.path}: {error}") from None
        self._progress(f"read {human_bytes(bytes_read)} of {file.path} ({human_bytes(file.size)})")
        return header

    def json(self, file: HubFile) -> dict[str, Any]:
        """A small file that is a JSON object."""
        try:
            fields = json.loads(self.content(file))
        except (ValueError, RecursionError):
            raise QuantLlmError(f"{file.path} is not JSON") from None
        if not isinstance(fields, dict):
            raise QuantLlmError(f"{file.path} is not a JSON object")
        return fields

    def sha256(self, file: HubFile) -> str:
        """The hash of a small file's bytes."""
        return hashlib.sha256(self.content(file)).hexdigest()

    def content(self, file: HubFile) -> bytes:
        """A small file's bytes, which have the hash that the hub lists."""
        if file.path not in self._contents:
            self._contents[file.path] = self._download(file)
        return self._contents[file.path]

    def _download(self, file: HubFile) -> bytes:
        if file.size > MAX_SMALL_FILE_BYTES:
            raise QuantLlmError(
                f"{file.path}: has {human_bytes(file.size)} and no sha256 on the hub, "
                f"expected at most {human_bytes(MAX_SMALL_FILE_BYTES)}: leave it out by `source.files`"
            )
        self._progress(f"downloading {file.path} ({human_bytes(file.size)})")
        content = self._repository.read(self._commit, file, 0, file.size) if file.size else b""
        if file.sha256:
            got, expected = hashlib.sha256(content).hexdigest(), file.sha256
        else:
            # Git's name for the content: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
            blob = b"blob %d\0%b" % (len(content), content)
            got, expected = hashlib.sha1(blob, usedforsecurity=False).hexdigest(), file.blob_id
        if got != expected:
            raise QuantLlmError(f"{file.path}: the bytes have the hash {got}, the hub lists {expected}")
        return content
