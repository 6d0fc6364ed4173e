"""Checks every file's sha256 while its bytes go by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from quant_llm_repack.errors import MismatchError
from quant_llm_repack.render import Source
from quant_llm_repack.request import SourceFile


class VerifyingSource:
    """Passes a source's bytes on and hashes them; MismatchError at a file's last byte when it is not the lock's.

    sha256 can only be computed in order: each file must be read from its first byte to its last by one worker.
    """

    def __init__(self, source: Source) -> None:
        """Read from `source`."""
        self._source = source
        self._hashes: dict[str, hashlib._Hash] = {}
        self._hashed: dict[str, int] = {}
        self._verified: set[str] = set()

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        """As the source's `read`; ValueError when bytes of the file were left out or are read again."""
        if self._hashed.get(file.path, 0) != start:
            raise ValueError(f"{file.path}: must be read in order, got byte {start} after {self._hashed.get(file.path)}")
        digest = self._hashes.setdefault(file.path, hashlib.sha256())
        for chunk in self._source.read(file, start, stop):
            digest.update(chunk)
            yield chunk
        self._hashed[file.path] = stop
        if stop == file.size:
            require_sha256(file, digest.hexdigest())
            self._verified.add(file.path)

    def require_all(self, files: Iterable[SourceFile]) -> None:
        """Raise MismatchError when a file was not read to its end: the last check before an archive is published."""
        for file in files:
            if file.size and file.path not in self._verified:
                raise MismatchError(f"{file.path}: sha256 was not verified")


def require_sha256(file: SourceFile, got: str) -> None:
    """Raise MismatchError with both hashes when `got` is not the lock's."""
    if got != file.sha256:
        raise MismatchError(f"{file.path}: sha256 of the hub's file is {got}, the lock names {file.sha256}")
