"""Posting a review at stand-ins of GitHub and GitLab: one comment, pages, rate limits, hostile artifacts."""

from __future__ import annotations

import datetime
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from quant_llm_tools.review.document import to_document
from quant_llm_tools.review.forge import github, gitlab
from quant_llm_tools.review.forge.__main__ import main
from quant_llm_tools.review.forge.api import Api
from quant_llm_tools.review.forge.artifact import DOCUMENT, MOST_BYTES
from quant_llm_tools.review.gate import judge
from quant_llm_tools.review.markdown import MARKER
from quant_llm_tools.review.model import Change, ChangeClass, Review
from tests.integration.review.forge_stand_in import DROPPED, Forge, served, zipped

SHA = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "a-token-that-nobody-else-gets"
REPOSITORY = "/repos/gov/endpoints"
COMMENTS = f"{REPOSITORY}/issues/7/comments"
OTHER_COMMENTS = f"{REPOSITORY}/issues/8/comments"
ARCHIVE = f"{REPOSITORY}/actions/artifacts/55/zip"


def document(summary: str = "The weights change") -> bytes:
    change = Change(ChangeClass.WEIGHTS_CHANGED, ("QuantLlmStack",), "a/b", summary, "why", "effect")
    review = Review((change,))
    return json.dumps(to_document(review, judge(review.changes, (), (), datetime.date(2027, 1, 1)))).encode()


def broken() -> bytes:
    """An archive with a document that its decompressor can't read."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr(DOCUMENT, document())
    start = 30 + len(DOCUMENT)  # the local header and the name
    return buffer.getvalue()[:start] + b"\xff" * 16 + buffer.getvalue()[start + 16 :]


def misplaced() -> bytes:
    """An archive whose end says that its list begins later than it does, so that its file begins before 0."""
    archive = bytearray(zipped(**{DOCUMENT: document()}))
    at = archive.rindex(b"PK\x05\x06") + 16
    archive[at : at + 4] = (int.from_bytes(archive[at : at + 4], "little") + 50).to_bytes(4, "little")
    return bytes(archive)


def pull(number: int, sha: str = SHA, repository: int = 99, base: str = "gov/endpoints") -> dict[str, Any]:
    return {
        "number": number,
        "head": {"sha": sha, "repo": {"id": repository}},
        "base": {"repo": {"full_name": base}},
    }


@pytest.fixture
def storage() -> Iterator[Forge]:
    with served(Forge(files={"/blob": zipped(**{DOCUMENT: document()})})) as forge:
        yield forge


@pytest.fixture
def hub(storage: Forge) -> Iterator[Forge]:
    """GitHub with a pull request from a fork, an artifact kept elsewhere, and comments of others."""
    artifacts = f"{REPOSITORY}/actions/runs/3/artifacts"
    forge = Forge(
        lists={
            f"{REPOSITORY}/pulls": [
                pull(5, sha="f" * 40),
                pull(6, repository=1),
                pull(8, base="someone/else"),
                pull(7),
            ],
            artifacts: [
                {"id": 54, "name": "quantllm-review", "expired": True, "size_in_bytes": 10},
                {"id": 53, "name": "quantllm-review", "expired": False, "size_in_bytes": 10},
                {"id": 55, "name": "quantllm-review", "expired": False, "size_in_bytes": 10},
                {"id": 56, "name": "other", "expired": False, "size_in_bytes": 10},
            ],
            COMMENTS: [
                {"id": 1, "user": {"login": "mallory"}, "body": f"{MARKER}\nnot ours"},
                {"id": 2, "user": None, "body": "gone"},
                {"id": 3, "user": {"login": github.LOGIN}, "body": "another job's"},
            ],
            OTHER_COMMENTS: [],
        },
        wrapped={artifacts: "artifacts"},
        files={ARCHIVE: f"{storage.url}/blob"},
        author={"user": {"login": github.LOGIN}},
    )
    with served(forge):
        yield forge


class Clock:
    def __init__(self) -> None:
        self.waited: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


def api_of(forge: Forge, clock: Clock | None = None) -> Api:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return Api(forge.url, headers, sleep=(clock or Clock()).sleep, now=lambda: 1_000.0)


def event(**run: Any) -> dict[str, Any]:
    return {
        "repository": {"full_name": "gov/endpoints"},
        "workflow_run": {
            "id": 3,
            "event": "pull_request",
            "head_sha": SHA,
            "head_branch": "new-weights",
            "head_repository": {"id": 99, "owner": {"login": "contributor"}},
            "pull_requests": [],
            **run,
        },
    }


def test_the_comment_is_made_once_and_changed_from_then_on(hub: Forge, storage: Forge) -> None:
    assert github.post(api_of(hub), event()) == "pull request 7: the comment is new"
    made = hub.comments(COMMENTS)[-1]
    assert made.startswith(f"{MARKER}\n## 🟡 Infrastructure changes: 1 weights-changed")
    assert "Made by the code of `0123456789ab` itself" in made

    assert github.post(api_of(hub), event()) == "pull request 7: the comment is as it was"
    storage.files["/blob"] = zipped(**{DOCUMENT: document("Other weights")})
    assert github.post(api_of(hub), event()) == "pull request 7: the comment is changed"
    assert len(hub.comments(COMMENTS)) == 4
    assert "Other weights" in hub.comments(COMMENTS)[-1]
    assert hub.comments(COMMENTS)[0] == f"{MARKER}\nnot ours"
    assert [method for method, _ in hub.sent()] == ["POST", "PATCH"]


def test_the_token_stays_with_the_forge(hub: Forge, storage: Forge) -> None:
    github.post(api_of(hub), event())
    assert {one.token for one in hub.requests} == {f"Bearer {TOKEN}"}
    assert {one.token for one in storage.requests} == {""}


@pytest.mark.parametrize(
    "run",
    [
        {"event": "push"},
        {"head_sha": "e" * 40},
        {"head_repository": None},
        {"head_repository": {"id": 98, "owner": {"login": "contributor"}}},
    ],
)
def test_without_an_open_pull_request_of_that_commit_nothing_is_posted(
    hub: Forge, run: dict[str, Any]
) -> None:
    assert "nothing to post" in github.post(api_of(hub), event(**run))
    assert hub.sent() == []


def test_the_artifact_has_no_say_in_where_it_is_posted(hub: Forge, storage: Forge) -> None:
    forged = {**json.loads(document()), "pull_request": 8, "number": 8}
    storage.files["/blob"] = zipped(**{DOCUMENT: json.dumps(forged).encode(), "pr_number": b"8"})
    github.post(api_of(hub), event())
    assert hub.comments(OTHER_COMMENTS) == []
    assert len(hub.comments(COMMENTS)) == 4


def test_two_pull_requests_of_one_commit_are_told_apart_by_github_or_not_at_all(hub: Forge) -> None:
    hub.lists[f"{REPOSITORY}/pulls"].append(pull(8))
    with pytest.raises(QuantLlmError, match="more than one open pull request"):
        github.post(api_of(hub), event())
    assert hub.sent() == []
    assert "pull request 8" in github.post(api_of(hub), event(pull_requests=[{"number": 8}]))


@pytest.mark.parametrize(
    "artifact",
    [
        b"no archive",
        broken(),
        misplaced(),
        zipped(other=b"{}"),
        zipped(**{DOCUMENT: b"<script>"}),
        zipped(**{DOCUMENT: b"[" * 100_000}),
        zipped(**{DOCUMENT: document().replace(b'"before": null', b'"before": NaN')}),
        zipped(**{DOCUMENT: b'{"changes": "all good @everyone"}'}),
        zipped(**{DOCUMENT: b"\xff\xfe"}),
        zipped(**{DOCUMENT: b"1" * 10_000}),
    ],
)
def test_an_artifact_that_is_no_review_is_said_to_be_none_and_not_quoted(
    hub: Forge, storage: Forge, artifact: bytes
) -> None:
    storage.files["/blob"] = artifact
    with pytest.raises(QuantLlmError, match=r"artifact|review"):
        github.post(api_of(hub), event())
    (made,) = hub.comments(COMMENTS)[3:]
    assert made.startswith(f"{MARKER}\n## ⛔ No infrastructure review: its job left none that can be read")
    assert "everyone" not in made


def test_a_document_that_unpacks_to_more_than_is_read_is_refused(hub: Forge, storage: Forge) -> None:
    storage.files["/blob"] = zipped(**{DOCUMENT: document() + b" " * MOST_BYTES})
    with pytest.raises(QuantLlmError, match="has more than 5,000,000 bytes"):
        github.post(api_of(hub), event())


def test_an_artifact_that_is_too_large_is_not_downloaded(hub: Forge, storage: Forge) -> None:
    for one in hub.lists[f"{REPOSITORY}/actions/runs/3/artifacts"]:
        one["size_in_bytes"] = MOST_BYTES + 1
    with pytest.raises(QuantLlmError, match="expected at most"):
        github.post(api_of(hub), event())
    assert storage.requests == []


def test_a_download_that_is_larger_than_was_said_is_cut_off(hub: Forge, storage: Forge) -> None:
    storage.files["/blob"] = b"0" * (MOST_BYTES + 10)
    with pytest.raises(QuantLlmError, match="more than 5,000,000 bytes"):
        github.post(api_of(hub), event())


def test_what_the_document_holds_is_text_in_the_comment(hub: Forge, storage: Forge) -> None:
    storage.files["/blob"] = zipped(**{DOCUMENT: document("@team see https://evil.example <img src=x>")})
    github.post(api_of(hub), event())
    assert "`@team` see `https://evil.example <img src=x>`" in hub.comments(COMMENTS)[-1]


def test_rate_limits_are_waited_for_and_faults_tried_again(hub: Forge) -> None:
    clock = Clock()
    hub.first += [
        (429, {"Retry-After": "7"}),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1090"}),
        (502, {}),
    ]
    assert github.post(api_of(hub, clock), event()).endswith("new")
    assert clock.waited == [7, 90, 8]


def test_a_connection_that_breaks_is_made_again_for_what_changes_nothing(hub: Forge) -> None:
    hub.first += [(DROPPED, {})]
    assert github.post(api_of(hub), event()).endswith("new")


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ([(403, {})], "GET /repos/gov/endpoints/pulls: status 403: not now"),
        ([(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999"})], "used up for another 8,999 s"),
        ([(500, {})] * 5, "status 500"),
    ],
)
def test_what_does_not_get_better_ends_with_what_the_forge_said(
    hub: Forge, first: list[tuple[int, dict[str, str]]], message: str
) -> None:
    hub.first += first
    with pytest.raises(QuantLlmError, match=message) as caught:
        github.post(api_of(hub), event())
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("fault", [502, DROPPED])
def test_a_comment_is_not_sent_twice_after_a_fault(
    hub: Forge, fault: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, send = api_of(hub), Api.send

    def faulty(self: Api, method: str, path: str, content: Any) -> Any:
        hub.first.append((fault, {}))
        return send(self, method, path, content)

    monkeypatch.setattr(Api, "send", faulty)
    with pytest.raises(QuantLlmError, match=r"POST .*: (status 502|RemoteDisconnected)"):
        github.post(api, event())
    assert [method for method, _ in hub.sent()] == ["POST"]


def test_a_next_page_on_another_host_is_refused(hub: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forge, "url", "http://evil.example")
    with pytest.raises(QuantLlmError, match="another host"):
        github.post(Api(f"http://localhost:{hub.port}", {}), event())


def test_the_command_takes_its_variables_and_says_what_is_missing(
    hub: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event()))
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(path))
    monkeypatch.setenv("GITHUB_API_URL", hub.url)
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    assert main(["github"]) == 1
    assert capsys.readouterr().err == "GITHUB_TOKEN: got nothing, expected the variable to be set\n"
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    assert main(["github"]) == 0
    assert capsys.readouterr().out == "pull request 7: the comment is new\n"
    saved = tmp_path / DOCUMENT
    saved.write_bytes(document())
    assert main(["show", str(saved)]) == 0
    assert capsys.readouterr().out.startswith(MARKER)
    assert main([]) == 2


def test_posting_needs_nothing_but_python() -> None:
    command = [sys.executable, "-S", "-m", "quant_llm_tools.review.forge"]
    environment = {"PYTHONPATH": "tools:constructs"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr[:12]) == (2, "`python -m q"), done.stderr


PROJECT = "/projects/gov%2Fendpoints"
REQUESTS = f"{PROJECT}/merge_requests"


def pipeline(number: int, *jobs: tuple[int, str, str]) -> list[dict[str, Any]]:
    return [{"id": job, "name": name, "status": status} for job, name, status in jobs]


@pytest.fixture
def lab() -> Iterator[Forge]:
    """GitLab with merge requests from a fork, with no pipeline, a running job, and a bad document."""
    heads = {1: (20, 200), 2: None, 3: (10, 300), 4: (21, 400)}
    forge = Forge(
        lists={
            REQUESTS: [{"iid": number} for number in heads],
            **{f"{REQUESTS}/{number}/notes": [] for number in heads},
            "/projects/20/pipelines/200/jobs": pipeline(
                200,
                (1, "quantllm-review", "failed"),
                (2, "test", "success"),
                (3, "quantllm-review", "success"),
            ),
            "/projects/10/pipelines/300/jobs": pipeline(300, (4, "quantllm-review", "running")),
            "/projects/21/pipelines/400/jobs": pipeline(400, (5, "quantllm-review", "failed")),
        },
        objects={
            "/user": {"id": 77},
            **{
                f"{REQUESTS}/{number}": {
                    "head_pipeline": head and {"project_id": head[0], "id": head[1], "sha": SHA}
                }
                for number, head in heads.items()
            },
        },
        files={
            f"/projects/20/jobs/3/artifacts/{DOCUMENT}": document(),
            f"/projects/21/jobs/5/artifacts/{DOCUMENT}": b"{}",
        },
        author={"author": {"id": 77}},
    )
    forge.lists[f"{REQUESTS}/1/notes"] += [
        {"id": 1, "author": {"id": 5}, "body": f"{MARKER}\nnot ours"},
        {"id": 2, "author": {"id": 77}, "body": "thanks"},
    ]
    with served(forge):
        yield forge


def test_each_open_merge_request_has_its_one_note(lab: Forge) -> None:
    api = Api(lab.url, {"PRIVATE-TOKEN": TOKEN})
    said: list[str] = []
    for _ in range(2):
        said.clear()
        with pytest.raises(QuantLlmError, match=r"^merge request 4: got a document that is no review"):
            gitlab.post(api, "gov/endpoints", said.append)
    assert said == [
        "merge request 1: the comment is as it was",
        "merge request 2: it has no pipeline",
        "merge request 3: its review is not done",
    ]
    (note,) = lab.comments(f"{REQUESTS}/1/notes")[2:]
    assert note.startswith(f"{MARKER}\n## 🟡 Infrastructure changes: 1 weights-changed")
    (failed,) = lab.comments(f"{REQUESTS}/4/notes")
    assert "No infrastructure review" in failed
    assert lab.comments(f"{REQUESTS}/3/notes") == []

    lab.files[f"/projects/20/jobs/3/artifacts/{DOCUMENT}"] = document("Other weights")
    with pytest.raises(QuantLlmError):
        gitlab.post(api, "gov/endpoints", said.append)
    assert "Other weights" in lab.comments(f"{REQUESTS}/1/notes")[2]
    assert [method for method, _ in lab.sent()] == ["POST", "POST", "PUT"]


def test_the_gitlab_command(
    lab: Forge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del lab.lists[REQUESTS][3]
    for name, value in (
        ("CI_API_V4_URL", lab.url),
        ("CI_PROJECT_ID", "gov/endpoints"),
        ("GITLAB_TOKEN", TOKEN),
    ):
        monkeypatch.setenv(name, value)
    assert main(["gitlab"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "merge request 1: the comment is new"
    assert {one.token for one in lab.requests} == {TOKEN}
