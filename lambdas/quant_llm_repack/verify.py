"""Checks every file's sha256 while its bytes go by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from quant_llm_repack.errors import MismatchError
from quant_llm_repack.render import Source
from quant_llm_repack.request import SourceFile


class VerifyingSource:
    """Passes a source's bytes on and hashes them; MismatchError at the end of a file that isn't the lock's.

    sha256 can only be computed in order, so the files must be read one after the other, each from its first
    byte on.
    """

    def __init__(self, source: Source) -> None:
        """Read from `source`."""
        self._source = source
        self._verified: set[str] = set()
        self._next: tuple[str, int] = ("", 0)
        self._digest = hashlib.sha256()

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        """As the source's `read`; ValueError when it is not the range after the last one."""
        if start == 0:
            self._next = (file.path, 0)
            self._digest = hashlib.sha256()
        if self._next != (file.path, start):
            raise ValueError(f"the next range must begin at {self._next}, got {(file.path, start)}")
        for chunk in self._source.read(file, start, stop):
            self._digest.update(chunk)
            yield chunk
        self._next = (file.path, stop)
        if stop == file.size:
            require_sha256(file, self._digest.hexdigest())
            self._verified.add(file.path)

    def require_all(self, files: Iterable[SourceFile]) -> None:
        """Raise MismatchError when a file was not read to its end: the last check before publication."""
        for file in files:
            if file.size and file.path not in self._verified:
                raise MismatchError(f"{file.path}: its sha256 was not verified")


def require_sha256(file: SourceFile, got: str) -> None:
    """Raise MismatchError with both hashes when `got` is not the lock's."""
    if got != file.sha256:
        raise MismatchError(
            f"{file.path}: the hub's file has sha256 {got}, expected {file.sha256} of the lock"
        )
