"""The function as Lambda calls it, with the hub, S3 and CloudFormation as fakes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from quant_llm_lambda.cloudformation import AnswerError
from quant_llm_repack.errors import RequestError
from quant_llm_repack.handler import Edges, answer, handle
from quant_llm_repack.plan import ArchivePlan
from tests.unit.repack.fake_s3 import FakeS3, StoredObject, client_error
from tests.unit.repack.fake_web import ANSWER, CDN, HUB, Canned, FakeWeb
from tests.unit.repack.sources import artifact_request, some_bytes

CONTENTS = {"config.json": b"{}", "model.gguf": some_bytes(200_000)}
REQUEST = artifact_request(CONTENTS)
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hf-token"
TOKEN = "hf_secret"


@dataclass
class Context:
    """Lambda's context; each look at the clock takes `step` ms."""

    left: int = 900_000
    step: int = 0
    log_stream_name: str = "2026/stream"

    def get_remaining_time_in_millis(self) -> int:
        self.left -= self.step
        return self.left


def event(kind: str = "Create", **changes: Any) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/QuantLlmStack/1",
        "RequestId": "request-1",
        "LogicalResourceId": "Artifact",
        "ResponseURL": ANSWER,
        "ResourceProperties": {"ServiceToken": "arn", **REQUEST.to_properties(), **changes},
    }


@dataclass
class World:
    web: FakeWeb = field(default_factory=lambda: FakeWeb(CONTENTS, REQUEST))
    s3: FakeS3 = field(default_factory=FakeS3)
    environment: dict[str, str] = field(default_factory=dict)
    started: list[tuple[str, str, Any]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=lambda: {SECRET: f"{TOKEN}\n"})

    def secret(self, arn: str) -> str:
        if arn not in self.secrets:
            raise client_error("GetSecretValue", "ResourceNotFoundException")
        return self.secrets[arn]

    def start(self, arn: str, name: str, input_: str) -> None:
        self.started.append((arn, name, json.loads(input_)))

    def handle(self, request: dict[str, Any], context: Context | None = None) -> dict[str, Any]:
        """Handle the event and return the one answer that came."""
        edges = Edges(
            s3=lambda: self.s3.client,
            secret=self.secret,
            http=self.web,
            sleep=self.waits.append,
            environment={"HF_ENDPOINT": HUB, **self.environment},
            start_execution=self.start,
        )
        before = len(self.web.answers)
        answer(request, context or Context(), edges)
        assert len(self.web.answers) == before + 1
        return self.web.answers[-1]

    def hub_requests(self) -> list[str]:
        return [asked.url for asked in self.web.asked if asked.method != "PUT"]


@pytest.fixture
def world() -> World:
    return World()


def log_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def assert_failed_cleanly(world: World, result: dict[str, Any]) -> str:
    assert result["Status"] == "FAILED"
    assert (world.s3.objects, world.s3.uploads) == ({}, {})
    return str(result["Reason"])


def test_create_answers_with_the_archive(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    result = world.handle(event())
    length = ArchivePlan(REQUEST.files).total_bytes
    assert result["Status"] == "SUCCESS"
    assert result["PhysicalResourceId"] == "s3://models/models/chat/0123/model.tar.gz"
    assert result["Data"] == {
        "ModelDataUrl": "s3://models/models/chat/0123/model.tar.gz",
        "Bytes": str(length),
    }
    assert set(world.s3.objects) == {REQUEST.key, REQUEST.manifest_key}
    log = log_of(capsys)
    assert [line["event"] for line in log] == ["repack.started", "repack.progress", "repack.finished"]
    assert log[1].items() >= {"bytes_done": length, "bytes_total": length, "part": 1, "parts": 1}.items()


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_an_artifact_that_is_there_is_a_success_without_the_hub(world: World, kind: str) -> None:
    first = world.handle(event())
    before = len(world.hub_requests())
    assert world.handle(event(kind, TokenSecretArn="arn:gone"))["Data"] == first["Data"]
    assert len(world.hub_requests()) == before


def test_delete_keeps_the_artifact(world: World) -> None:
    world.handle(event())
    request = {**event("Delete"), "PhysicalResourceId": REQUEST.url}
    assert world.handle(request)["Status"] == "SUCCESS"
    assert REQUEST.key in world.s3.objects


def test_delete_ends_the_upload_that_a_rollback_cut_off(world: World) -> None:
    world.s3.create_multipart_upload(
        Bucket=REQUEST.bucket,
        Key=REQUEST.key,
        ContentType="application/gzip",
        Metadata={},
        ChecksumAlgorithm="CRC32",
        ChecksumType="FULL_OBJECT",
    )
    assert len(world.s3.uploads) == 1
    assert world.handle({**event("Delete"), "PhysicalResourceId": REQUEST.url})["Status"] == "SUCCESS"
    assert world.s3.uploads == {}


def test_delete_succeeds_whatever_the_properties_are(world: World) -> None:
    request = {**event("Delete"), "PhysicalResourceId": "anything", "ResourceProperties": {}}
    result = world.handle(request)
    assert (result["Status"], result["PhysicalResourceId"]) == ("SUCCESS", "anything")
    assert (world.hub_requests(), world.s3.calls) == ([], [])


def test_a_malformed_request_fails_by_name(world: World) -> None:
    result = world.handle(event(Commit="main"))
    assert assert_failed_cleanly(world, result) == "Commit must be 40 lower-case hex digits, got 'main'"
    assert result["PhysicalResourceId"] == "Artifact"


def test_a_wrong_sha256_in_the_lock_fails_with_both_hashes(world: World) -> None:
    request = event()
    true = request["ResourceProperties"]["Files"][1]["Sha256"]
    request["ResourceProperties"]["Files"][1]["Sha256"] = "0" * 64
    reason = assert_failed_cleanly(world, world.handle(request))
    assert reason == f"model.gguf: the hub's file has sha256 {true}, expected {'0' * 64} of the lock"
    assert world.s3.calls == ["HeadObject"]


@pytest.mark.parametrize("path", ["config.json", "model.gguf"])
def test_a_wrong_byte_on_the_way_aborts_the_upload(world: World, path: str) -> None:
    content = bytearray(CONTENTS[path])
    content[0] ^= 1
    host = CDN if path == "model.gguf" else HUB
    header = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
    world.web.can("GET", host, Canned(206, header, bytes(content)))
    reason = assert_failed_cleanly(world, world.handle(event()))
    got = hashlib.sha256(content).hexdigest()
    locked = next(file.sha256 for file in REQUEST.files if file.path == path)
    assert reason == f"{path}: the hub's file has sha256 {got}, expected {locked} of the lock"
    assert world.s3.calls[-1] == "AbortMultipartUpload"


def test_another_size_fails_before_the_upload(world: World) -> None:
    world.web.contents["config.json"] = b"{ }"
    reason = assert_failed_cleanly(world, world.handle(event()))
    assert reason == "config.json: the hub's file has 3 bytes, expected 2 of the lock"
    assert "CreateMultipartUpload" not in world.s3.calls


@pytest.mark.parametrize(
    ("canned", "sentence"),
    [
        (
            Canned(404, {"X-Error-Code": "EntryNotFound"}),
            "there is no such file at this commit (HTTP status 404)",
        ),
        (Canned(401), "name the secret with a token in token_secret (HTTP status 401)"),
        (Canned(403, {"X-Error-Code": "GatedRepo"}), "the repository is gated"),
    ],
)
def test_a_refusal_of_the_hub_fails_in_a_sentence(world: World, canned: Canned, sentence: str) -> None:
    world.web.can("HEAD", HUB, canned)
    reason = assert_failed_cleanly(world, world.handle(event()))
    assert reason.startswith("config.json of acme/model-GGUF at commit ab810cf68114: ")
    assert sentence in reason
    assert world.waits == []


def test_a_hub_that_is_well_at_the_fourth_try_is_a_success(world: World) -> None:
    world.web.can("HEAD", HUB, *[Canned(503)] * 3)
    world.web.can("GET", CDN, *[Canned(503)] * 3)
    assert world.handle(event())["Status"] == "SUCCESS"
    assert len(world.waits) == 6


def test_a_hub_that_stays_ill_fails_in_a_sentence(world: World) -> None:
    world.web.can("GET", CDN, *[Canned(503)] * 6)
    reason = assert_failed_cleanly(world, world.handle(event()))
    assert reason.endswith("failed 6 times in a row, the last with: HTTP status 503")


def test_the_token_of_the_secret_opens_the_hub_and_shows_nowhere(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.web.can("GET", CDN, Canned(503))
    result = world.handle(event(TokenSecretArn=SECRET))
    assert result["Status"] == "SUCCESS"
    sent = {asked.host: asked.headers.get("Authorization") for asked in world.web.asked}
    assert sent == {"hub.example": f"Bearer {TOKEN}", "cdn.example": None, "answer.example": None}
    assert TOKEN not in capsys.readouterr().out + json.dumps(result)


def test_a_secret_that_is_not_there_is_named(world: World) -> None:
    reason = assert_failed_cleanly(world, world.handle(event(TokenSecretArn="arn:gone")))
    assert reason.startswith("the hub token can't be read from the secret arn:gone: ")
    assert "ResourceNotFoundException" in reason


def test_a_model_too_large_for_the_time_fails_with_time_to_spare(world: World) -> None:
    context = Context(left=900_000, step=210_000)
    reason = assert_failed_cleanly(world, world.handle(event(), context))
    assert reason.startswith(
        "the model is too large for one run of the repack function: 0 of 0 MB were copied"
    )
    assert context.left == 60_000


def test_a_wait_longer_than_the_time_left_fails_with_its_cause(world: World) -> None:
    world.web.can("HEAD", HUB, Canned(429, {"Retry-After": "1000"}))
    reason = assert_failed_cleanly(world, world.handle(event()))
    assert re.search(r"no time is left to wait 100\d s for another try after: HTTP status 429$", reason)


def test_another_object_under_the_key_fails(world: World) -> None:
    world.s3.objects[REQUEST.key] = StoredObject(b"other", "application/gzip", {})
    result = world.handle(event())
    assert result["Status"] == "FAILED"
    assert "artifacts are never overwritten" in result["Reason"]


def test_a_bug_is_answered_too(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.web.can("HEAD", HUB, Canned(error=TypeError("oops")))
    reason = assert_failed_cleanly(world, world.handle(event()))
    assert reason == "the repack function has a bug, see its log stream 2026/stream: TypeError('oops')"
    assert "Traceback" in log_of(capsys)[-1]["traceback"]


def test_a_cloudformation_out_of_reach_is_raised_so_that_lambda_tries_again(world: World) -> None:
    world.web.can("PUT", ANSWER, *[Canned(500)] * 5)
    with pytest.raises(AnswerError):
        world.handle(event())
    assert world.handle(event())["Status"] == "SUCCESS"


def test_with_a_state_machine_its_start_is_answered_at_once(world: World) -> None:
    world.environment["STATE_MACHINE_ARN"] = "arn:machine"
    result = world.handle(event(WaitHandle="https://handle.example/once"))
    length = ArchivePlan(REQUEST.files).total_bytes
    assert (result["Status"], result["PhysicalResourceId"]) == ("SUCCESS", REQUEST.url)
    assert result["Data"] == {"ModelDataUrl": REQUEST.url, "Bytes": str(length)}
    expected = {"Request": REQUEST.to_properties(), "WaitHandle": "https://handle.example/once"}
    assert world.started == [("arn:machine", "request-1", expected)]
    assert world.s3.calls == []


def test_a_state_machine_that_can_not_be_started_is_a_failure(world: World) -> None:
    def refuse(arn: str, name: str, input_: str) -> None:
        raise client_error("StartExecution", "AccessDeniedException")

    world.environment["STATE_MACHINE_ARN"] = "arn:machine"
    world.start = refuse  # type: ignore[method-assign]  # a Step Functions that refuses
    reason = assert_failed_cleanly(world, world.handle(event()))
    assert reason.startswith("the state machine arn:machine can't be started: ")


def test_an_event_with_a_task_is_not_answered(world: World) -> None:
    with pytest.raises(RequestError, match="Task must be one of"):
        handle({"Task": "none"}, Context())
