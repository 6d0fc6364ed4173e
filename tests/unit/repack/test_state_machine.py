"""The definition, by the rules of the Amazon States Language that are easily broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from quant_llm_repack import errors
from quant_llm_repack.state_machine import definition

ARN = "arn:aws:lambda:us-east-1:123456789012:function:repack"


def machines(definition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield definition
    for state in definition["States"].values():
        if state["Type"] == "Map":
            yield from machines(state["ItemProcessor"])


def states(definition: dict[str, Any]) -> dict[str, Any]:
    return {name: state for machine in machines(definition) for name, state in machine["States"].items()}


def test_every_state_named_exists_in_its_own_machine() -> None:
    for machine in machines(definition(ARN, 10)):
        named = {machine["StartAt"]}
        for state in machine["States"].values():
            named |= {state[key] for key in ("Next", "Default") if key in state}
            named |= {each["Next"] for key in ("Choices", "Catch") for each in state.get(key, [])}
            assert ("Next" in state) + state.get("End", False) + (state["Type"] in ("Choice", "Fail")) == 1
        assert named == set(machine["States"])


def test_every_task_calls_the_function_and_tries_again_what_may_pass() -> None:
    tasks = [state for state in states(definition(ARN, 10)).values() if state["Type"] == "Task"]
    assert len(tasks) == 4
    may_pass = {"HubUnavailableError", "StoreUnavailableError", "OutOfTimeError", "AnswerError"}
    for task in tasks:
        assert task["Resource"] == ARN
        (retry,) = task["Retry"]
        assert retry["JitterStrategy"] == "FULL"
        assert may_pass <= set(retry["ErrorEquals"])


@pytest.mark.parametrize("name", ["MismatchError", "HubError", "RequestError", "StoreError", "RepackError"])
def test_what_no_retry_mends_is_not_tried_again(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.RepackError)
    assert name not in states(definition(ARN, 10))["Plan"]["Retry"][0]["ErrorEquals"]


def test_every_error_reaches_the_task_that_fails() -> None:
    for name in ("Plan", "Copy the parts", "Finish"):
        last = definition(ARN, 10)["States"][name]["Catch"][-1]
        assert last == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.Error", "Next": "Fail"}


def test_the_concurrency_is_the_maps() -> None:
    assert definition(ARN, 7)["States"]["Copy the parts"]["MaxConcurrency"] == 7
    with pytest.raises(ValueError, match="max_concurrency must be 1 or more, got 0"):
        definition(ARN, 0)


def test_the_definition_is_json_and_the_same_twice() -> None:
    assert json.dumps(definition(ARN, 10)) == json.dumps(definition(ARN, 10))
