"""The image build function between a CloudFormation, an ECR and a CodeBuild that are fakes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from quant_llm_image_build import build as edge
from quant_llm_image_build import handler
from quant_llm_image_build.outcome import failure_reason
from quant_llm_image_build.request import Image, ImageRequest
from quant_llm_lambda.cloudformation import AnswerRefusedError

URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/engines"
DIGEST = "sha256:" + "0f" * 32
HANDLE = "https://wait.example/handle?signature=secret"


def request_event(kind: str = "Create") -> dict[str, Any]:
    return {
        "RequestType": kind,
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/QuantLlmStack/1",
        "RequestId": "request-1",
        "LogicalResourceId": "Image",
        "ResourceType": "Custom::EngineImage",
        "ResponseURL": "https://answer.example/once?signature=secret",
        "ResourceProperties": {
            "ProjectName": "project",
            "RepositoryName": "engines",
            "RepositoryUri": URI,
            "Tag": "abc",
            "WaitHandle": HANDLE,
        },
    }


class FakeAws:
    """ECR with the images in `digests`, and CodeBuild that remembers what was started."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.builds: dict[str, dict[str, Any]] = {}
        self.answers: list[tuple[str, dict[str, Any]]] = []
        self.signals: list[tuple[str, dict[str, Any]]] = []
        self.handle_expired = False
        self.log_lines: list[str] = []

    def image_digest(self, image: Image) -> str | None:
        return self.digests.get(image.tag)

    def start(self, request: ImageRequest, request_id: str) -> str:
        assert request_id == "request-1"
        self.builds["project:1"] = {
            "id": "project:1",
            "projectName": request.project_name,
            "buildStatus": "IN_PROGRESS",
            "environment": {"environmentVariables": request.to_build_variables()},
        }
        return "project:1"

    def end(self, status: str, **more: Any) -> dict[str, Any]:
        self.builds["project:1"] |= {"buildStatus": status, **more}
        return {"detail-type": "CodeBuild Build State Change", "detail": {"build-id": "project:1"}}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    fake = FakeAws()
    monkeypatch.setattr(edge, "image_digest", fake.image_digest)
    monkeypatch.setattr(edge, "start", fake.start)
    monkeypatch.setattr(edge, "read", lambda build_id: fake.builds[build_id])
    monkeypatch.setattr(edge, "last_log_lines", lambda build: fake.log_lines)

    def success(event: Mapping[str, Any], **answer: Any) -> None:
        fake.answers.append(("SUCCESS", {"url": event["ResponseURL"], **answer}))

    def failure(event: Mapping[str, Any], **answer: Any) -> None:
        fake.answers.append(("FAILED", {"url": event["ResponseURL"], **answer}))

    def signal(url: str, *, status: str, **signalled: Any) -> None:
        if fake.handle_expired:
            raise AnswerRefusedError("HTTP status 403")
        fake.signals.append((status, {"url": url, **signalled}))

    monkeypatch.setattr(handler, "signal", signal)
    monkeypatch.setattr(handler, "send_success", success)
    monkeypatch.setattr(handler, "send_failure", failure)
    return fake


def test_image_that_exists_is_signalled_at_once_and_not_built_again(aws: FakeAws) -> None:
    aws.digests["abc"] = DIGEST
    handler.handle(request_event(), None)
    ((status, signalled),) = aws.signals
    assert (status, signalled["url"], signalled["data"]) == ("SUCCESS", HANDLE, f"{URI}@{DIGEST}")
    ((answered, answer),) = aws.answers
    assert (answered, answer["physical_id"]) == ("SUCCESS", f"{URI}:abc")
    assert not aws.builds


def test_start_is_answered_at_once_and_the_stack_waits_for_the_end(aws: FakeAws) -> None:
    handler.handle(request_event(), None)
    assert [status for status, _ in aws.answers] == ["SUCCESS"]
    assert aws.signals == []
    aws.digests["abc"] = DIGEST
    handler.handle(aws.end("SUCCEEDED"), None)
    ((status, signalled),) = aws.signals
    assert (status, signalled["url"], signalled["data"]) == ("SUCCESS", HANDLE, f"{URI}@{DIGEST}")
    assert len(aws.answers) == 1


@pytest.mark.parametrize("status", ["FAILED", "FAULT", "STOPPED", "TIMED_OUT"])
def test_failed_build_fails_the_deploy_with_phase_and_log(aws: FakeAws, status: str) -> None:
    aws.log_lines = ["nvcc fatal: Unsupported gpu architecture"]
    handler.handle(request_event(), None)
    phases = [
        {"phaseType": "INSTALL", "phaseStatus": "SUCCEEDED"},
        {"phaseType": "BUILD", "phaseStatus": status, "contexts": [{"message": "exit status 1"}]},
    ]
    handler.handle(aws.end(status, phases=phases), None)
    ((ending, signalled),) = aws.signals
    assert ending == "FAILURE"
    assert signalled["reason"] == (
        f"image build project:1 ended as {status} in phase BUILD (exit status 1): mend it, then deploy "
        "again; the log ends: nvcc fatal: Unsupported gpu architecture"
    )


def test_build_that_succeeds_without_an_image_is_a_failure(aws: FakeAws) -> None:
    handler.handle(request_event(), None)
    handler.handle(aws.end("SUCCEEDED"), None)
    ((status, signalled),) = aws.signals
    assert status == "FAILURE"
    assert "pushed no image" in signalled["reason"]


def test_image_that_nobody_waits_for_any_more_is_no_error(aws: FakeAws) -> None:
    aws.digests["abc"] = DIGEST
    aws.handle_expired = True
    handler.handle(request_event("Update"), None)  # a rollback to the image of before
    assert [status for status, _ in aws.answers] == ["SUCCESS"]


def digest_event() -> dict[str, Any]:
    event = {**request_event(), "ResourceType": "Custom::EngineImageDigest"}
    del event["ResourceProperties"]["WaitHandle"], event["ResourceProperties"]["ProjectName"]
    return event


def test_digest_of_the_image_is_answered(aws: FakeAws) -> None:
    aws.digests["abc"] = DIGEST
    handler.handle(digest_event(), None)
    ((status, answer),) = aws.answers
    assert (status, answer["data"]) == ("SUCCESS", {"ImageUri": f"{URI}@{DIGEST}"})
    assert (aws.signals, aws.builds) == ([], {})


def test_digest_of_an_image_that_is_not_there_is_a_failure(aws: FakeAws) -> None:
    with pytest.raises(LookupError):
        handler.handle(digest_event(), None)
    ((status, answer),) = aws.answers
    assert (status, aws.builds) == ("FAILED", {})
    assert f"{URI}:abc is not in its repository" in answer["reason"]


def test_build_started_by_hand_answers_nobody(aws: FakeAws) -> None:
    handler.handle(request_event(), None)
    event = aws.end("SUCCEEDED", environment={"environmentVariables": []})
    handler.handle(event, None)
    assert aws.signals == []


def test_build_that_cannot_start_is_answered_instead_of_left_waiting(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: ImageRequest, request_id: str) -> str:
        raise RuntimeError("AccountLimitExceededException")

    monkeypatch.setattr(edge, "start", refuse)
    with pytest.raises(RuntimeError):
        handler.handle(request_event(), None)
    ((status, answer),) = aws.answers
    assert status == "FAILED"
    assert "AccountLimitExceededException" in answer["reason"]


def test_missing_property_is_answered_with_its_name(aws: FakeAws) -> None:
    event = request_event()
    del event["ResourceProperties"]["Tag"]
    with pytest.raises(KeyError):
        handler.handle(event, None)
    ((status, answer),) = aws.answers
    assert (status, "Tag" in answer["reason"]) == ("FAILED", True)
    assert aws.signals == []


def test_delete_keeps_the_images(aws: FakeAws) -> None:
    handler.handle({**request_event("Delete"), "PhysicalResourceId": f"{URI}:abc"}, None)
    ((status, answer),) = aws.answers
    assert (status, answer["physical_id"]) == ("SUCCESS", f"{URI}:abc")
    assert not aws.builds


def test_answer_address_stays_out_of_the_log(aws: FakeAws, capsys: pytest.CaptureFixture[str]) -> None:
    handler.handle(request_event(), None)
    handler.handle(aws.end("FAILED"), None)
    assert "signature=secret" not in capsys.readouterr().out


def test_reason_without_a_log_says_so() -> None:
    assert (
        failure_reason({"id": "b:1", "buildStatus": "STOPPED"}, [])
        == "image build b:1 ended as STOPPED: mend it, then deploy again; it has no log"
    )
