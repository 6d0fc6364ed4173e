"""Checkouts of one commit each, beside the working tree, gone when they are no longer needed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quant_llm.errors import QuantLlmError

# A checkout is there to be read: the repository's hooks are for people who work in theirs.
_GIT = ("git", "-c", "core.hooksPath=/dev/null")


def repository_root(path: Path) -> Path:
    """The root of the git repository that `path` is in; QuantLlmError when it is in none."""
    return Path(git(path, "rev-parse", "--show-toplevel", wrong=f"{path}: not in a git repository"))


def commit_of(repository: Path, ref: str) -> str:
    """The whole hash of the commit that a ref names; QuantLlmError when there is none here."""
    return git(
        repository,
        "rev-parse",
        "--verify",
        "--end-of-options",
        f"{ref}^{{commit}}",
        wrong=f"{ref}: expected a branch, tag or commit of this repository; `git fetch` it first",
    )


def merge_base(repository: Path, base: str, head: str) -> str:
    """The commit that two commits have in common: against it, `head` shows its own changes only.

    QuantLlmError when history ends before it, as in a clone that took the last commits only.
    """
    return git(
        repository,
        "merge-base",
        base,
        head,
        wrong=f"{base[:12]} and {head[:12]} have no commit in common here: fetch more history "
        "(`git fetch --unshallow`; `fetch-depth: 0` in GitHub Actions, `GIT_DEPTH: 0` in GitLab CI)",
    )


@contextmanager
def checked_out(repository: Path, commit: str, path: Path) -> Iterator[Path]:
    """A worktree of the commit at `path`, which must not exist; removed at the end, however it comes."""
    try:
        git(repository, "worktree", "add", "--detach", "--quiet", str(path), commit, wrong=f"{commit}:")
        yield path
    finally:
        subprocess.run(  # noqa: S603 - git, on a path of ours
            [*_GIT, "worktree", "remove", "--force", "--force", str(path)],
            cwd=repository,
            capture_output=True,
            check=False,  # whatever went wrong before is the better error
        )


def git(directory: Path, *arguments: str, wrong: str) -> str:
    """What git prints in a directory; QuantLlmError that begins with `wrong` when it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - git; a ref can't be taken for an option
            [*_GIT, *arguments], cwd=directory, capture_output=True, text=True, check=False
        )
    except OSError as error:
        if shutil.which("git") is None:
            raise QuantLlmError("git is not installed, expected it on the PATH") from None
        raise QuantLlmError(f"git can't be run in {directory}: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.strip().removeprefix("fatal: ")
        raise QuantLlmError(f"{wrong} (git: {said})" if said else wrong)
    return done.stdout.strip()
