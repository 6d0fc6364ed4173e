"""The JSON of the hub's API: what it says about a repository, a tree, a path, its refs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeAlias

from quant_llm_tools.local_aws.hub.repository import Repository, RepositoryFile

Json: TypeAlias = dict[str, object]

# All repositories were made and last changed at one moment: answers are the same on every run.
_DATE = "2024-06-01T00:00:00.000Z"


def model_info(repository: Repository, *, blobs: bool, expand: list[str]) -> Json:
    """`GET /api/models/{repo}`: `blobs` adds the files' sizes and hashes, `expand` leaves only its fields."""
    identity: Json = {"_id": _object_id(repository.name), "id": repository.name}
    fields: Json = {
        "modelId": repository.name,
        "author": repository.name.partition("/")[0],
        "sha": repository.commit,
        "lastModified": _DATE,
        "createdAt": _DATE,
        "private": False,
        "gated": repository.gated,
        "disabled": False,
        "tags": sorted({file.path.rpartition(".")[2] for file in repository.files if file.lfs}),
        "downloads": 0,
        "likes": 0,
        "siblings": [_sibling(file, blobs) for file in sorted_files(repository.files)],
        "spaces": [],
        "usedStorage": sum(file.size for file in repository.files),
    }
    if expand:
        fields = {name: fields[name] for name in expand if name in fields}
    return identity | fields


def refs(repository: Repository) -> Json:
    """`GET /api/models/{repo}/refs`."""

    def entries(kind: str, names: Iterable[str]) -> list[Json]:
        return [
            {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": repository.commit} for name in names
        ]

    return {
        "branches": entries("heads", repository.branches),
        "converts": [],
        "tags": entries("tags", repository.tags),
        "pullRequests": [],
    }


def tree(repository: Repository, folder: str, *, recursive: bool) -> list[Json] | None:
    """`GET /api/models/{repo}/tree/{revision}/{folder}`: entries by path, None if there is no such folder."""
    folders = repository.folders()
    if folder and folder not in folders:
        return None
    prefix = f"{folder}/" if folder else ""
    entries = {file.path: _file_entry(file) for file in repository.files}
    entries |= {path: _folder_entry(repository, path) for path in folders}
    below = {path: path.removeprefix(prefix) for path in entries if path.startswith(prefix)}
    return [entries[path] for path, rest in sorted(below.items()) if recursive or "/" not in rest]


def paths_info(repository: Repository, paths: Iterable[str]) -> list[Json]:
    """`POST /api/models/{repo}/paths-info/{revision}`: what exists of `paths`."""
    folders = repository.folders()
    found: list[Json] = []
    for path in paths:
        file = repository.file(path)
        if file is not None:
            found.append(_file_entry(file))
        elif path in folders:
            found.append(_folder_entry(repository, path))
    return found


def sorted_files(files: Iterable[RepositoryFile]) -> list[RepositoryFile]:
    """In order of path, as Git keeps them."""
    return sorted(files, key=lambda file: file.path)


def _sibling(file: RepositoryFile, blobs: bool) -> Json:
    if not blobs:
        return {"rfilename": file.path}
    sibling: Json = {"rfilename": file.path, "blobId": file.blob_id, "size": file.size}
    if file.lfs:
        sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return sibling


def _file_entry(file: RepositoryFile) -> Json:
    """No xetHash: with it, a client that has hf-xet leaves HTTP for the xet protocol."""
    entry: Json = {"type": "file", "oid": file.blob_id, "size": file.size, "path": file.path}
    if file.lfs:
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return entry


def _folder_entry(repository: Repository, path: str) -> Json:
    """The object id is stable, but not that of a Git tree."""
    oid = hashlib.sha1(f"{repository.commit} {path}".encode(), usedforsecurity=False).hexdigest()
    return {"type": "directory", "oid": oid, "size": 0, "path": path}


def _object_id(name: str) -> str:
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:24]
