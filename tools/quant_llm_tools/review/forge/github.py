"""GitHub: the job of a `workflow_run` event posts what the pull request's own run has left as an artifact."""

from __future__ import annotations

import urllib.parse
from typing import Any, Final

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.forge.api import Api
from quant_llm_tools.review.forge.artifact import ARTIFACT, MOST_BYTES, comment, failure, unpacked
from quant_llm_tools.review.markdown import MARKER

LOGIN: Final = "github-actions[bot]"
"""Who the comments of a workflow's token are by; a comment with our marker by anybody else is not ours."""


def post(api: Api, event: Any, login: str = LOGIN) -> str:
    """Post the review of the run that a `workflow_run` event is about, and say what was done.

    The pull request is looked up at GitHub by the run's branch and commit; the artifact has no say in it.
    QuantLlmError when there is no review to post: the comment then says so.
    """
    run, repository = event["workflow_run"], event["repository"]["full_name"]
    if run["event"] not in ("pull_request", "pull_request_target"):
        return f"the run was for {run['event']}, not for a pull request: nothing to post"
    number = _pull_request(api, repository, run)
    if number is None:
        return f"no open pull request has {run['head_sha'][:12]} as its head any more: nothing to post"
    try:
        text = comment(unpacked(_artifact(api, repository, run["id"])), run["head_sha"])
    except QuantLlmError:
        reason = "its job left none that can be read, see the checks of this pull request"
        _put(api, repository, number, login, failure(reason, run["head_sha"]))
        raise
    return f"pull request {number}: the comment is {_put(api, repository, number, login, text)}"


def _pull_request(api: Api, repository: str, run: Any) -> int | None:
    """The number of the open pull request into this repository whose head is the run's commit."""
    head = run["head_repository"]
    if head is None:  # the fork is gone
        return None
    query = urllib.parse.urlencode(
        {"state": "open", "head": f"{head['owner']['login']}:{run['head_branch']}", "per_page": 100}
    )
    found = [
        pull["number"]
        for pull in api.pages(f"/repos/{repository}/pulls?{query}")
        if pull["head"]["sha"] == run["head_sha"]
        and (pull["head"]["repo"] or {}).get("id") == head["id"]
        and pull["base"]["repo"]["full_name"] == repository
    ]
    if len(found) > 1:
        # GitHub names them where the branch is of this repository; of a fork's it names none.
        named = {one["number"] for one in run.get("pull_requests") or ()}
        found = [number for number in found if number in named]
        if len(found) != 1:
            raise QuantLlmError(
                f"more than one open pull request has {run['head_sha'][:12]} of {run['head_branch']!r} as "
                "its head, expected one: close the others"
            )
    return int(found[0]) if found else None


def _artifact(api: Api, repository: str, run_id: int) -> bytes:
    query = urllib.parse.urlencode({"name": ARTIFACT, "per_page": 100})
    found = [
        one
        for one in api.pages(f"/repos/{repository}/actions/runs/{run_id}/artifacts?{query}")
        if one["name"] == ARTIFACT and not one["expired"]
    ]
    if not found:
        raise QuantLlmError(f"run {run_id} has no artifact {ARTIFACT!r}")
    newest = max(found, key=lambda one: int(one["id"]))
    if newest["size_in_bytes"] > MOST_BYTES:
        raise QuantLlmError(
            f"the artifact has {newest['size_in_bytes']:,} bytes, expected at most {MOST_BYTES:,}"
        )
    return api.download(f"/repos/{repository}/actions/artifacts/{newest['id']}/zip", MOST_BYTES)


def _put(api: Api, repository: str, number: int, login: str, text: str) -> str:
    """Change our comment, or make it if there is none."""
    for one in api.pages(f"/repos/{repository}/issues/{number}/comments?per_page=100"):
        if (one["user"] or {}).get("login") == login and (one["body"] or "").startswith(MARKER):
            if one["body"].replace("\r\n", "\n").strip() == text.strip():
                return "as it was"
            api.send("PATCH", f"/repos/{repository}/issues/comments/{one['id']}", {"body": text})
            return "changed"
    api.send("POST", f"/repos/{repository}/issues/{number}/comments", {"body": text})
    return "new"
