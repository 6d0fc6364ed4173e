"""GitLab: a scheduled pipeline of the project posts what the merge requests' own pipelines have left.

A fork's pipeline runs in the fork, without any token of the project. So the project's side comes and looks.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.forge.api import Api
from quant_llm_tools.review.forge.artifact import ARTIFACT, DOCUMENT, MOST_BYTES, comment, failure
from quant_llm_tools.review.markdown import MARKER


def post(api: Api, project: str, tell: Callable[[str], None]) -> None:
    """Post the review of every open merge request that has one, and tell of each what was done.

    QuantLlmError at the end, when all others are posted, if some could not be.
    """
    user = api.get("/user")["id"]
    place = f"/projects/{urllib.parse.quote(project, safe='')}/merge_requests"
    failed = []
    for request in api.pages(f"{place}?state=opened&per_page=100"):
        name, at = f"merge request {request['iid']}", f"{place}/{request['iid']}"
        try:
            tell(f"{name}: {_post(api, at, user)}")
        except QuantLlmError as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise QuantLlmError("\n".join(failed))


def _post(api: Api, place: str, user: int) -> str:
    pipeline = api.get(place)["head_pipeline"]
    if pipeline is None:
        return "it has no pipeline"
    # The pipeline of a merge request from a fork is in the fork.
    jobs = f"/projects/{pipeline['project_id']}/pipelines/{pipeline['id']}/jobs?per_page=100"
    found = [
        one for one in api.pages(jobs) if one["name"] == ARTIFACT and one["status"] in ("success", "failed")
    ]
    if not found:
        return "its review is not done"
    newest = max(found, key=lambda one: int(one["id"]))
    path = f"/projects/{pipeline['project_id']}/jobs/{newest['id']}/artifacts/{DOCUMENT}"
    try:
        text = comment(api.download(path, MOST_BYTES), pipeline["sha"])
    except QuantLlmError:
        reason = "its job left none that can be read, see the pipeline of this merge request"
        _put(api, place, user, failure(reason, pipeline["sha"]))
        raise
    return f"the comment is {_put(api, place, user, text)}"


def _put(api: Api, place: str, user: int, text: str) -> str:
    """Change our note, or make it if there is none."""
    for note in api.pages(f"{place}/notes?sort=asc&per_page=100"):
        if note["author"]["id"] == user and note["body"].startswith(MARKER):
            if note["body"].strip() == text.strip():
                return "as it was"
            api.send("PUT", f"{place}/notes/{note['id']}", {"body": text})
            return "changed"
    api.send("POST", f"{place}/notes", {"body": text})
    return "new"
