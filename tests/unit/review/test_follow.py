"""What follows from a change that was told of is silent, and only that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.follow import follows_from_told
from tests.unit.review.templates import STACK, resource

SMALL = {"moh-chat": {"type": "small"}, "moh-code": {"type": "small"}}


def follows(before: dict[str, Any], after: dict[str, Any], *, told: str = "chat") -> bool:
    sides = (
        StackSide({"Resources": {"F": resource("AWS::Lambda::Function", "F", {"Environment": environment})}})
        for environment in (before, after)
    )
    comparison = Comparison(STACK, next(sides), next(sides), effects={})
    comparison.tell_of(told)
    return follows_from_told(comparison, "F", "Environment")


def variables(**named: object) -> dict[str, Any]:
    return {
        "Variables": {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in named.items()
        }
    }


@pytest.mark.parametrize(
    "after",
    [{**SMALL, "moh-chat": {"type": "large"}}, {"moh-code": {"type": "small"}}],
)
def test_an_entry_for_an_endpoint_that_was_told_of_follows(after: dict[str, Any]) -> None:
    assert follows(variables(ENDPOINTS=SMALL), variables(ENDPOINTS=after))


@pytest.mark.parametrize(
    "after",
    [
        variables(ENDPOINTS={**SMALL, "moh-code": {"type": "large"}}),
        variables(ENDPOINTS={"moh-chat": {"type": "large"}, "moh-code": {"type": "large"}}),
        variables(ENDPOINTS=SMALL, TARGET="moh-chat"),
        variables(ENDPOINTS=SMALL),
    ],
)
def test_anything_else_does_not(after: dict[str, Any]) -> None:
    assert not follows(variables(ENDPOINTS=SMALL), after)


def test_an_endpoint_that_nothing_was_told_of_does_not() -> None:
    after = variables(ENDPOINTS={**SMALL, "moh-chat": {"type": "large"}})
    assert not follows(variables(ENDPOINTS=SMALL), after, told="code")


@pytest.mark.parametrize("after", [{"moh-code": {"type": "small"}}, {**SMALL, "moh-chat": {"type": "large"}}])
def test_an_endpoint_that_stays_and_leaves_a_list_is_told_of(after: dict[str, Any]) -> None:
    endpoint = resource("AWS::SageMaker::Endpoint", "chat/Endpoint/Resource", {"EndpointName": "moh-chat"})
    before, changed = (
        StackSide(
            {
                "Resources": {
                    "Chat": endpoint,
                    "F": resource("AWS::Lambda::Function", "F", {"Environment": variables(ENDPOINTS=listed)}),
                }
            }
        )
        for listed in (SMALL, after)
    )
    comparison = Comparison(STACK, before, changed, effects={})
    comparison.tell_of("chat")
    assert follows_from_told(comparison, "F", "Environment") is ("moh-chat" in after)


def test_a_name_in_a_list_follows() -> None:
    before, after = (
        {"detail": {"EndpointName": names}} for names in (["moh-chat", "moh-code"], ["moh-code"])
    )
    assert follows(before, after)
