"""Which commit an upgrade starts from."""

from __future__ import annotations

from pathlib import Path

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.checkout import commit_of, git

# What templates, and the assets that they name, are made of.
SOURCES = ("agencies", "app.py", "cdk.json", "constructs", "container", "lambdas", "stacks")


def older_commit(root: Path, ref: str | None = None) -> str:
    """The commit of `ref`; without one the last tag before what has changed last, else the commit before it.

    Changes of the working tree count as the last ones. QuantLlmError without git, for a ref that isn't there,
    and for a clone whose history ends before it.
    """
    if ref is not None:
        return commit_of(root, ref)
    status = ("status", "--porcelain", "--", *SOURCES)
    if git(root, *status, wrong="an upgrade starts from an older commit"):
        before = commit_of(root, "HEAD")
    else:
        last = git(root, "log", "-1", "--format=%H", "--", *SOURCES, wrong="no commit")
        try:
            before = commit_of(root, f"{last}^")
        except QuantLlmError:
            raise QuantLlmError(
                "an upgrade starts from an older commit, and the history here has none: fetch more "
                "(`git fetch --unshallow`; `fetch-depth: 0` in GitHub Actions, `GIT_DEPTH: 0` in GitLab CI)"
            ) from None
    try:
        tag = git(root, "describe", "--tags", "--abbrev=0", before, wrong="no tag")
    except QuantLlmError:
        return before
    return commit_of(root, tag)
