"""A call of an endpoint that may have no instance, on a fake runtime and a fake clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quant_llm_tools import invoke
from quant_llm_tools.cli import main
from quant_llm_tools.client import RETRY_SECONDS, call_when_ready
from tests.unit.invoke.test_invoke import CHAT, FakeRuntime

NO_INSTANCE = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress "
    "(if configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
WANTS_COMPONENT = (
    "Inference Component Name header is required for endpoints to which you plan to deploy inference "
    "components. Please include Inference Component Name header or consider using SageMaker models."
)


def refused(message: str, code: str = "ValidationError") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "InvokeEndpoint")


class Endpoint:
    """An endpoint of an inference component whose first instance answers after so many seconds."""

    def __init__(self, ready_after: float, fault: ClientError | None = None) -> None:
        self.now = 100.0
        self.ready = self.now + ready_after
        self.fault = fault
        self.requests: list[dict[str, Any]] = []

    def call(self, **request: Any) -> str:
        self.requests.append(request)
        if "InferenceComponentName" not in request:
            raise refused(WANTS_COMPONENT)
        if self.now < self.ready:
            raise refused(NO_INSTANCE)
        if self.fault is not None:
            raise self.fault
        return "answer"

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def clock(self) -> float:
        return self.now


def when_ready(endpoint: Endpoint, **options: Any) -> str:
    return call_when_ready(endpoint.call, "moh-chat", sleep=endpoint.sleep, clock=endpoint.clock, **options)


def test_component_is_named_after_the_endpoint_when_it_is_asked_for() -> None:
    endpoint = Endpoint(ready_after=0)
    assert when_ready(endpoint, Body="{}") == "answer"
    assert endpoint.requests == [
        {"EndpointName": "moh-chat", "Body": "{}"},
        {"EndpointName": "moh-chat", "Body": "{}", "InferenceComponentName": "moh-chat"},
    ]


def test_call_is_made_again_until_the_first_instance_answers() -> None:
    endpoint = Endpoint(ready_after=40)
    heard: list[float] = []
    assert when_ready(endpoint, waiting=heard.append) == "answer"
    assert heard == [0, RETRY_SECONDS, 2 * RETRY_SECONDS]
    assert endpoint.now == 100 + 3 * RETRY_SECONDS


@pytest.mark.parametrize("timeout", [0, 20, 45])
def test_wait_ends_at_the_timeout_with_sagemakers_own_error(timeout: float) -> None:
    endpoint = Endpoint(ready_after=1000)
    with pytest.raises(ClientError, match="has no capacity"):
        when_ready(endpoint, timeout=timeout)
    assert endpoint.now == 100 + timeout


def test_other_errors_are_not_waited_for() -> None:
    endpoint = Endpoint(ready_after=0, fault=refused("out of context", "ModelError"))
    with pytest.raises(ClientError, match="out of context"):
        when_ready(endpoint)
    assert endpoint.now == 100


def test_component_that_was_named_and_is_asked_for_again_is_an_error() -> None:
    def call(**_: Any) -> None:
        raise refused(WANTS_COMPONENT)

    with pytest.raises(ClientError, match="is required"):
        call_when_ready(call, "moh-chat", InferenceComponentName="another")


class Asleep(FakeRuntime):
    """Refuses the first calls for want of an instance."""

    refusals = 2

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        if "InferenceComponentName" not in request:
            raise refused(WANTS_COMPONENT)
        assert request.pop("InferenceComponentName") == "moh-chat"
        if self.refusals:
            self.refusals -= 1
            raise refused(NO_INSTANCE)
        return super().invoke_endpoint(**request)


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> Asleep:
    fake = Asleep(json.dumps(CHAT).encode(), [b'data: {"choices": [{"delta": {"content": "Paris."}}]}\n\n'])
    monkeypatch.setattr(invoke, "_client", lambda region: fake)
    monkeypatch.setattr("quant_llm_tools.client.RETRY_SECONDS", 0.01)
    return fake


@pytest.mark.usefixtures("asleep")
@pytest.mark.parametrize("how", [[], ["--stream"]])
def test_command_waits_and_says_so_beside_the_answer(
    how: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["invoke", "moh-chat", "?", *how]) == 0
    output = capsys.readouterr()
    assert output.out == "Paris.\n"
    assert output.err == "endpoint 'moh-chat' has no instance: waiting for one\n" * 2


@pytest.mark.usefixtures("asleep")
def test_command_that_may_not_wait_tells_the_endpoints_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoke", "moh-chat", "?", "--timeout", "0"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("endpoint 'moh-chat' answered ValidationError: Inference Component has no")


@pytest.mark.parametrize("value", ["-1", "soon", "inf"])
def test_timeout_that_is_no_time_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["invoke", "moh-chat", "?", "--timeout", value])
    assert f"argument --timeout: got '{value}', expected a number of 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["-1", "0", "many"])
def test_a_limit_that_is_no_number_of_tokens_is_refused(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["invoke", "moh-chat", "?", "--max-tokens", value])
    message = f"argument --max-tokens: got '{value}', expected a whole number of 1 or more"
    assert message in capsys.readouterr().err
