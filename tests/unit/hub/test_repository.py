"""Object ids as Git and Git LFS compute them, and the names of a commit."""

from __future__ import annotations

import hashlib

import pytest

from quant_llm_tools.local_aws.hub import Repository, RepositoryFile
from quant_llm_tools.local_aws.hub.content import BytesContent

COMMIT = "0123456789" * 4


def test_a_small_file_has_git_s_blob_id() -> None:
    file = RepositoryFile("README.md", BytesContent(b"hello\n"))
    assert file.blob_id == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
    assert file.etag == file.blob_id


def test_a_file_in_lfs_has_the_blob_id_of_its_pointer() -> None:
    file = RepositoryFile("a.gguf", BytesContent(b"hello\n"))
    digest = hashlib.sha256(b"hello\n").hexdigest()
    assert file.pointer == (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 6\n".encode()
    )
    assert file.blob_id == "fa61e1ef71c9908c0926776a4aa3504b3a27f159"  # git hash-object
    assert file.etag == digest


def test_a_declared_hash_replaces_that_of_the_bytes() -> None:
    assert RepositoryFile("a.gguf", BytesContent(b"x"), declared_sha256="ab" * 32).sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("revision", "known"),
    [
        ("main", True),
        ("v1", True),
        (COMMIT, True),
        (COMMIT[:7], True),
        (COMMIT[:6], False),
        (COMMIT[:-1] + "f", False),
        ("", False),
        ("dev", False),
    ],
)
def test_branches_tags_and_commits_lead_to_the_repository(revision: str, known: bool) -> None:
    repository = Repository("a/b", COMMIT, files=(), tags=("v1",))
    assert repository.has_revision(revision) is known


def test_folders_of_deep_paths_are_all_there() -> None:
    file = RepositoryFile("one/two/three.json", BytesContent(b"{}"))
    assert Repository("a/b", COMMIT, files=(file,)).folders() == ["one", "one/two"]
