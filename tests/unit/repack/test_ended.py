"""Executions that EventBridge says have ended: the stack hears of it, and nothing is left under way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from quant_llm_lambda.cloudformation import AnswerError
from quant_llm_repack.ended import DETAIL_TYPE, clear_up
from quant_llm_repack.state_machine import FAILED
from tests.unit.repack.fake_web import ANSWER, Canned
from tests.unit.repack.test_tasks import REQUEST, Context, World

Json = Any

EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:QuantLlmStack-repack:request-1"
INPUT = json.dumps({"Request": REQUEST.to_properties(), "WaitHandle": ANSWER})


def detail(status: str, **changes: Json) -> dict[str, Json]:
    """As the developer guide's examples show it."""
    return {
        "executionArn": EXECUTION,
        "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:QuantLlmStack-repack",
        "name": "request-1",
        "status": status,
        "startDate": 1551225014968,
        "stopDate": 1551225017576,
        "input": INPUT,
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": None,
        **changes,
    }


def no_description(arn: str) -> dict[str, Json]:
    raise AssertionError(f"nobody has to describe {arn}")


def end(
    world: World, told: dict[str, Json], describe: Callable[[str], dict[str, Json]] = no_description
) -> None:
    event = {"detail-type": DETAIL_TYPE, "source": "aws.states", "detail": told}
    clear_up(event, Context(), replace(world.edges, describe_execution=describe))


def halfway() -> World:
    """A world whose execution has copied one item."""
    world = World()
    plan = world.task("plan")
    world.task("copy", UploadIds=plan["UploadIds"], Item=plan["Items"][0], Index=0)
    assert world.s3.uploads
    return world


@pytest.mark.parametrize(
    ("told", "how"),
    [
        (detail("ABORTED"), "was stopped before its end; CloudTrail's StopExecution says by whom"),
        (
            detail("ABORTED", error="Mine", cause="too dear"),
            "was stopped before its end; CloudTrail's StopExecution says by whom (Mine: too dear)",
        ),
        (detail("TIMED_OUT"), "took longer than its state machine allows"),
        (detail("FAILED", error="States.Runtime"), "failed outside of its tasks (States.Runtime)"),
    ],
)
def test_the_stack_is_told_in_one_sentence_and_nothing_is_left(told: dict[str, Json], how: str) -> None:
    world = halfway()
    end(world, told)
    reason = f"the repack of {REQUEST.url} {how}; see the execution {EXECUTION} in Step Functions, "
    (signalled,) = world.web.answers
    assert (signalled["Status"], signalled["UniqueId"]) == ("FAILURE", REQUEST.digest)
    assert signalled["Reason"] == f"{reason}then deploy again"
    world.assert_nothing_left()


def test_an_execution_whose_task_told_the_stack_is_left_alone() -> None:
    world = halfway()
    end(world, detail("FAILED", error=FAILED, cause="gated"))
    assert (world.web.answers, len(world.s3.uploads)) == ([], 1)


@pytest.mark.parametrize(
    "told",
    [detail("ABORTED", input=None, inputDetails={"included": False}), detail("FAILED")],
    ids=["input too large for an event", "failed with what?"],
)
def test_what_an_event_lacks_is_asked_for(told: dict[str, Json]) -> None:
    world = halfway()
    asked = []

    def describe(arn: str) -> dict[str, Json]:
        asked.append(arn)
        # It lags behind.
        return {**detail("RUNNING"), "error": "States.DataLimitExceeded"}

    end(world, told, describe)
    assert asked == [EXECUTION]
    assert "(States.DataLimitExceeded)" in world.web.answers[0]["Reason"]
    world.assert_nothing_left()


def test_twice_is_harmless() -> None:
    world = halfway()
    end(world, detail("ABORTED"))
    end(world, detail("ABORTED"))
    assert world.web.answers[0] == world.web.answers[1]
    world.assert_nothing_left()


def test_an_expired_handle_hinders_no_clearing_up(capsys: pytest.CaptureFixture[str]) -> None:
    world = halfway()
    world.web.can("PUT", ANSWER, Canned(403))
    end(world, detail("ABORTED"))
    world.assert_nothing_left()
    assert "repack.signal_refused" in capsys.readouterr().out


def test_a_cloudformation_out_of_reach_is_raised_so_that_lambda_tries_again() -> None:
    world = halfway()
    world.web.can("PUT", ANSWER, *[Canned(500)] * 5)
    with pytest.raises(AnswerError):
        end(world, detail("ABORTED"))
    end(world, detail("ABORTED"))
    world.assert_nothing_left()
