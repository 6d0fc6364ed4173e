"""Files and their hashes: the source against the lock, and what the tools have written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from quant_llm_quantise.errors import SourceError, ToolError
from quant_llm_quantise.request import File


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(folder: Path, files: Iterable[File]) -> None:
    """SourceError unless the folder has each file with its size and sha256, and nothing else."""
    wanted = {file.path: file for file in files}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if surplus := sorted(there - set(wanted)):
        raise SourceError(f"the source has {surplus[0]!r}, which the lock does not name")
    for file in wanted.values():
        path = folder / file.path
        if file.path not in there or path.is_symlink():
            raise SourceError(f"the source lacks {file.path!r} of the lock")
        if (size := path.stat().st_size) != file.size:
            raise SourceError(f"{file.path}: got {size} bytes, expected {file.size} of the lock")
        if (sha256 := sha256_of(path)) != file.sha256:
            raise SourceError(f"{file.path}: got the sha256 {sha256}, expected {file.sha256} of the lock")


def describe(folder: Path) -> tuple[File, ...]:
    """Every file below the folder, in order of path; ToolError for links and for none at all."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ToolError(f"the tool wrote {path.relative_to(folder)}, which is no plain file")
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            found.append(File(path=name, size=path.stat().st_size, sha256=sha256_of(path)))
    if not found:
        raise ToolError("the tool wrote no file")
    return tuple(found)
