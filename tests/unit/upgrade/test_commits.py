"""The commit that an upgrade starts from, in small repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from quant_llm.errors import QuantLlmError
from tests.upgrade.commits import older_commit

WHO = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")


def git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *WHO, *arguments], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(repository: Path, path: str) -> str:
    file = repository / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(file.read_text() + "x" if file.exists() else "x")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", path)
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    git(tmp_path, "init", "--quiet", str(path))
    return path


def test_without_a_tag_it_is_the_commit_before_the_last_that_changes_a_stack(repository: Path) -> None:
    before = commit(repository, "stacks/stack.py")
    commit(repository, "constructs/bucket.py")
    commit(repository, "README.md")
    assert older_commit(repository) == before


def test_a_tag_before_the_last_change_comes_first_and_one_after_it_does_not_count(repository: Path) -> None:
    release = commit(repository, "stacks/stack.py")
    git(repository, "tag", "v1")
    commit(repository, "app.py")
    commit(repository, "app.py")
    git(repository, "tag", "v2")
    assert older_commit(repository) == release


def test_changes_of_the_working_tree_are_the_last_ones(repository: Path) -> None:
    commit(repository, "app.py")
    last = commit(repository, "app.py")
    (repository / "app.py").write_text("changed")
    assert older_commit(repository) == last


def test_a_commit_can_be_named_and_one_that_is_not_there_is_refused(repository: Path) -> None:
    first = commit(repository, "app.py")
    commit(repository, "app.py")
    assert older_commit(repository, "HEAD^") == first
    with pytest.raises(QuantLlmError, match="v9: expected a branch, tag or commit"):
        older_commit(repository, "v9")


def test_a_shallow_clone_and_a_first_commit_are_refused_with_what_to_fetch(
    repository: Path, tmp_path: Path
) -> None:
    commit(repository, "app.py")
    with pytest.raises(QuantLlmError, match="fetch more"):
        older_commit(repository)
    commit(repository, "app.py")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", repository.as_uri(), str(shallow))
    with pytest.raises(QuantLlmError, match="git fetch --unshallow"):
        older_commit(shallow)


def test_outside_a_repository_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantLlmError, match="an upgrade starts from an older commit"):
        older_commit(tmp_path)
