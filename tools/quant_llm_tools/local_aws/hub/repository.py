"""What a repository of the hub is: files at one commit, and the names that lead to that commit."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from quant_llm_tools.local_aws.hub.content import BytesContent, Content

# What the hub's default .gitattributes keeps in Git LFS, as far as these repositories have it.
LFS_SUFFIXES = (".gguf", ".model", ".safetensors")

# What Git abbreviates a commit to.
SHORTEST_COMMIT = 7


@dataclass(frozen=True)
class RepositoryFile:
    """One file: its path in the repository and its bytes.

    `declared_sha256` stands in for the hash of a file that is too large to be read through. It is not the
    hash of the bytes, so such a file can be locked and synthesised, but a repack fails on its checksum.
    """

    path: str
    content: Content
    declared_sha256: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the file (for a file in LFS too, not of its pointer)."""
        return self.content.size

    @property
    def lfs(self) -> bool:
        """Whether the file is in Git LFS, and so served by the CDN."""
        return self.path.endswith(LFS_SUFFIXES)

    @functools.cached_property
    def sha256(self) -> str:
        """The LFS object id: the hash of the bytes, computed when first asked for, or the declared one."""
        return self.declared_sha256 or self._hash(hashlib.sha256())

    @functools.cached_property
    def pointer(self) -> bytes:
        """The file that Git keeps in place of a file in LFS."""
        return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
            self.sha256.encode(),
            self.size,
        )

    @functools.cached_property
    def blob_id(self) -> str:
        """Git's object id of the file, or of its pointer if it is in LFS."""
        if self.lfs:
            return RepositoryFile(self.path + ".pointer", BytesContent(self.pointer)).blob_id
        return self._hash(hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False))

    @property
    def etag(self) -> str:
        """The hub's ETag, without quotes: sha256 of a file in LFS, Git's object id of any other."""
        return self.sha256 if self.lfs else self.blob_id

    def _hash(self, digest: hashlib._Hash) -> str:
        for chunk in self.content.chunks(0, self.size):
            digest.update(chunk)
        return digest.hexdigest()


@dataclass(frozen=True)
class Repository:
    """One commit of a model repository; all branches and tags point to it.

    A gated repository shows its metadata to all, its files only to tokens with access.
    """

    name: str  # "namespace/name"
    commit: str
    files: tuple[RepositoryFile, ...]
    branches: tuple[str, ...] = ("main",)
    tags: tuple[str, ...] = ()
    gated: Literal[False, "auto", "manual"] = False

    def has_revision(self, revision: str) -> bool:
        """Whether a branch, a tag, or a commit (in full, or at least its first 7 digits) leads here."""
        if revision in self.branches or revision in self.tags:
            return True
        return len(revision) >= SHORTEST_COMMIT and self.commit.startswith(revision)

    def file(self, path: str) -> RepositoryFile | None:
        """The file at a path."""
        return next((file for file in self.files if file.path == path), None)

    def folders(self) -> list[str]:
        """Every folder, sorted."""
        return sorted({folder for file in self.files for folder in _parents(file.path)})


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
