"""Files to repack: contents in memory, or generated without end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from quant_llm_repack.request import ArtifactRequest, SourceFile

COMMIT = "ab810cf68114990406fdf996510dd3d3c6adbdf5"


def some_bytes(count: int, seed: int = 0) -> bytes:
    """Bytes without a pattern of 65,535, the same for the same seed."""
    block = hashlib.shake_128(seed.to_bytes(8, "big")).digest(min(count, 70_001))
    return (block * (count // len(block) + 1))[:count] if count else b""


def source_file(path: str, content: bytes) -> SourceFile:
    return SourceFile(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())


ARCHIVE_KEY = "models/chat/0123/model.tar.gz"
PREFIX_KEY = "models/chat/0123/files/"


def artifact_request(
    contents: Mapping[str, bytes], *, token_secret_arn: str | None = None, key: str = ARCHIVE_KEY
) -> ArtifactRequest:
    return ArtifactRequest(
        repository="acme/model-GGUF",
        commit=COMMIT,
        files=tuple(source_file(path, content) for path, content in contents.items()),
        bucket="models",
        key=key,
        token_secret_arn=token_secret_arn,
    )


class MemorySource:
    """Serves `contents`, in chunks of `chunk` bytes."""

    def __init__(self, contents: Mapping[str, bytes], *, chunk: int = 50_000) -> None:
        self.contents = dict(contents)
        self.chunk = chunk
        self.checked: list[str] = []

    def check(self, files: Iterable[SourceFile]) -> None:
        self.checked = [file.path for file in files]

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        for position in range(start, stop, self.chunk):
            yield self.contents[file.path][position : min(position + self.chunk, stop)]
