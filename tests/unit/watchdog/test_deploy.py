"""The watch of a stack: what it signals, and when."""

from __future__ import annotations

from typing import Any

import pytest

from quant_llm_lambda.cloudformation import AnswerRefusedError
from quant_llm_watchdog import handler
from quant_llm_watchdog.endpoint import CLOCKS_SECONDS
from quant_llm_watchdog.watch import LONGEST_SECONDS, NOT_BEGUN_SECONDS, Watch
from tests.unit.watchdog.fakes import BEGAN, END, NAME, SENTENCE, FakeAws, component, described

HANDLE = "https://wait.example/handle?signature=secret"


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    def signal(url: str, **signalled: Any) -> None:
        sent.append({"url": url, **signalled})

    monkeypatch.setattr(handler, "signal", signal)
    return sent


def begun(**more: Any) -> Watch:
    return Watch(endpoint=NAME, target="new", since=BEGAN, wait_handle=HANDLE, **more)


def looked(aws: FakeAws, watch: Watch) -> tuple[Watch, dict[str, Any]]:
    result = handler.look(watch, aws.edges())
    return Watch.from_input(result["Watch"]), result


def test_an_endpoint_that_is_created_is_looked_at_until_it_serves(
    aws: FakeAws, signals: list[dict[str, Any]]
) -> None:
    watch, result = looked(aws, begun())  # SageMaker knows nothing of it yet
    assert (result["Done"], result["Seconds"]) == (False, 1)
    aws.endpoint, aws.now = described("Creating"), BEGAN + 600
    watch, result = looked(aws, watch)
    assert (result["Done"], result["Seconds"], signals) == (False, 5, [])
    aws.endpoint = described("InService")
    assert looked(aws, watch)[1]["Done"]
    assert [(s["status"], s["url"], s["data"]) for s in signals] == [("SUCCESS", HANDLE, "new")]


def test_a_failed_creation_fails_the_stack_with_the_containers_sentence(
    aws: FakeAws, signals: list[dict[str, Any]]
) -> None:
    aws.endpoint = described(
        "Failed", FailureReason="The primary container did not pass the ping health check"
    )
    aws.lines = ["starting", END, "starting", END]
    assert looked(aws, begun())[1]["Done"]
    (signal,) = signals
    assert signal["status"] == "FAILURE"
    assert signal["reason"].startswith(
        f"the container ended (2 times): {SENTENCE}. The endpoint {NAME} is Failed"
    )
    assert "SageMaker says: The primary container did not pass" in signal["reason"]
    assert "Usually: the files of the lock are not what the engine expects" in signal["reason"]


def test_a_failure_without_a_log_says_so_and_the_usual_cause(
    aws: FakeAws, signals: list[dict[str, Any]]
) -> None:
    aws.endpoint = described("Failed")
    looked(aws, begun())
    assert signals[0]["reason"].startswith(
        f"the container has no log. The endpoint {NAME} is Failed. Usually: with no line"
    )


def test_an_update_that_is_taken_back_fails_the_stack(aws: FakeAws, signals: list[dict[str, Any]]) -> None:
    aws.endpoint = described("InService", "old")
    watch, result = looked(aws, begun())  # the update has not begun
    assert not result["Done"]
    aws.endpoint = described("Updating", "old", pending="new")
    watch, result = looked(aws, watch)
    assert (result["Done"], watch.seen) == (False, True)
    aws.endpoint, aws.lines = described("InService", "old"), [END]
    assert looked(aws, watch)[1]["Done"]
    assert [s["status"] for s in signals] == ["FAILURE"]
    assert "was taken back by SageMaker" in signals[0]["reason"]


def test_an_update_that_failed_between_two_looks_fails_the_stack(
    aws: FakeAws, signals: list[dict[str, Any]]
) -> None:
    aws.endpoint = described("InService", "old", FailureReason="no")
    assert looked(aws, begun())[1]["Done"]
    assert [s["status"] for s in signals] == ["FAILURE"]


def test_a_failure_of_an_earlier_update_is_none_of_this_one(
    aws: FakeAws, signals: list[dict[str, Any]]
) -> None:
    aws.endpoint = described("InService", "old", FailureReason="long ago")
    late = Watch(endpoint=NAME, target="new", since=BEGAN + CLOCKS_SECONDS + 1, wait_handle=HANDLE)
    assert not looked(aws, late)[1]["Done"]
    assert signals == []


def test_another_update_than_this_one_is_waited_for(aws: FakeAws, signals: list[dict[str, Any]]) -> None:
    aws.endpoint = described("Updating", "older", pending="old")
    watch, _ = looked(aws, begun())
    assert not watch.seen
    aws.endpoint = described("InService", "old")
    assert not looked(aws, watch)[1]["Done"]
    assert signals == []


def test_an_update_of_the_stack_that_leaves_the_endpoint_alone_is_no_failure(
    aws: FakeAws, signals: list[dict[str, Any]]
) -> None:
    aws.endpoint, aws.now = described("InService", "old"), BEGAN + NOT_BEGUN_SECONDS + 1
    assert looked(aws, begun())[1]["Done"]
    assert [s["status"] for s in signals] == ["SUCCESS"]


def test_the_stack_is_told_before_its_wait_condition_ends(
    aws: FakeAws, signals: list[dict[str, Any]]
) -> None:
    aws.endpoint, aws.now = described("Updating", "old", pending="new"), BEGAN + 7200
    assert looked(aws, begun())[1] == {"Watch": begun(seen=True).to_input(), "Done": False, "Seconds": 30}
    aws.now = BEGAN + LONGEST_SECONDS + 1
    assert looked(aws, begun())[1]["Done"]
    assert [s["status"] for s in signals] == ["SUCCESS"]
    assert LONGEST_SECONDS < 12 * 3600


def test_a_stack_that_waits_no_more_is_no_error(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AnswerRefusedError("HTTP status 403")

    monkeypatch.setattr(handler, "signal", refuse)
    aws.endpoint = described("InService")
    assert looked(aws, begun())[1]["Done"]


def test_a_watch_that_is_broken_does_not_hold_up_the_stack(
    aws: FakeAws, signals: list[dict[str, Any]]
) -> None:
    handler.give_up(begun(), aws.edges())
    assert [s["status"] for s in signals] == ["SUCCESS"]


def test_an_inference_component_is_watched_by_its_model_and_its_own_log(
    aws: FakeAws, signals: list[dict[str, Any]]
) -> None:
    watch = begun(component=True)
    aws.now = BEGAN + NOT_BEGUN_SECONDS + 1  # its endpoint has taken that long
    for endpoint in (None, component("Creating"), component("Updating", "old")):
        aws.endpoint = endpoint
        assert not looked(aws, watch)[1]["Done"]
    aws.endpoint, aws.lines = component("InService", "old", FailureReason="no"), [END]
    assert looked(aws, watch)[1]["Done"]
    aws.endpoint = component("InService")
    assert looked(aws, watch)[1]["Done"]
    assert [s["status"] for s in signals] == ["FAILURE", "SUCCESS"]
    assert SENTENCE in signals[0]["reason"]
    assert aws.groups == [f"/aws/sagemaker/InferenceComponents/{NAME}"]


def request_event(kind: str = "Create") -> dict[str, Any]:
    return {
        "RequestType": kind,
        "RequestId": "2b9c/1",
        "StackId": "stack",
        "LogicalResourceId": "Watch",
        "ResponseURL": "https://answer.example/",
        "ResourceProperties": {
            "EndpointName": NAME,
            "EndpointConfigName": "new",
            "WaitHandle": HANDLE,
            "ServiceTimeout": "300",
        },
    }


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    sent: list[tuple[str, str]] = []

    def answered(status: str) -> Any:
        return lambda event, *, physical_id, **_: sent.append((status, physical_id))

    monkeypatch.setattr(handler, "send_success", answered("SUCCESS"))
    monkeypatch.setattr(handler, "send_failure", answered("FAILED"))
    return sent


def test_a_request_of_cloudformation_begins_a_watch_and_is_answered(
    aws: FakeAws, answers: list[tuple[str, str]]
) -> None:
    for _ in range(2):  # CloudFormation may deliver it twice
        handler.requested(request_event(), aws.edges())
    assert aws.executions == {"2b9c-1": {"Watch": begun().to_input()}}
    assert answers == [("SUCCESS", f"watch-{NAME}")] * 2


def test_a_request_for_a_component_says_which_model_is_to_serve(
    aws: FakeAws, answers: list[tuple[str, str]]
) -> None:
    event = request_event()
    event["ResourceProperties"] = {"InferenceComponentName": NAME, "ModelName": "new", "WaitHandle": HANDLE}
    handler.requested(event, aws.edges())
    assert aws.executions["2b9c-1"]["Watch"] == begun(component=True).to_input()


def test_the_end_of_the_stack_begins_no_watch(aws: FakeAws, answers: list[tuple[str, str]]) -> None:
    handler.requested({**request_event("Delete"), "PhysicalResourceId": "mine"}, aws.edges())
    assert (aws.executions, answers) == ({}, [("SUCCESS", "mine")])


def test_a_watch_that_can_not_begin_fails_the_resource(aws: FakeAws, answers: list[tuple[str, str]]) -> None:
    event = request_event()
    del event["ResourceProperties"]["WaitHandle"]
    with pytest.raises(KeyError):
        handler.requested(event, aws.edges())
    assert answers == [("FAILED", f"watch-{NAME}")]
