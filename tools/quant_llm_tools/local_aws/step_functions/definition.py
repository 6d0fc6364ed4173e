"""Checks a definition: what is wrong on AWS is refused, and so is what the interpreter would not do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quant_llm_tools.local_aws.step_functions.choice import check_rule
from quant_llm_tools.local_aws.step_functions.errors import InvalidDefinition
from quant_llm_tools.local_aws.step_functions.paths import (
    check_expression,
    check_reference,
    check_template,
)

Json = Any

LAMBDA_INVOKE = "arn:aws:states:::lambda:invoke"

_MACHINE = {"Comment", "StartAt", "States", "TimeoutSeconds", "Version", "QueryLanguage"}
_ANY_STATE = {"Type", "Comment", "QueryLanguage"}
_FLOW = {"InputPath", "OutputPath"}
_RESULT = {"ResultPath", "Next", "End"}
_WORK = {"ResultSelector", "Retry", "Catch"}
_STATES: dict[str, set[str]] = {
    "Choice": _FLOW | {"Choices", "Default"},
    "Fail": {"Error", "Cause", "ErrorPath", "CausePath"},
    "Map": _FLOW
    | _RESULT
    | _WORK
    | {
        "ItemProcessor",
        "ItemSelector",
        "ItemsPath",
        "Iterator",
        "Label",
        "MaxConcurrency",
        "MaxConcurrencyPath",
        "Parameters",
    },
    "Pass": _FLOW | _RESULT | {"Parameters", "Result"},
    "Succeed": _FLOW,
    "Task": _FLOW | _RESULT | _WORK | {"Resource", "Parameters", "TimeoutSeconds"},
    "Wait": _FLOW | {"Next", "End", "Seconds", "SecondsPath"},
}
_RETRY = {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"}
_CATCH = {"ErrorEquals", "Next", "ResultPath"}
_INVOKE = {"FunctionName", "FunctionName.$", "Payload", "Payload.$"}
_PATHS = (
    "InputPath",
    "OutputPath",
    "ItemsPath",
    "SecondsPath",
    "MaxConcurrencyPath",
    "ErrorPath",
    "CausePath",
)
_TEMPLATES = ("Parameters", "ItemSelector", "ResultSelector")


def parsed(text: str) -> dict[str, Json]:
    """The state machine that a definition describes. InvalidDefinition says where it is wrong."""
    try:
        definition = json.loads(text)
    except ValueError as error:
        raise InvalidDefinition(f"INVALID_JSON_DESCRIPTION: {error}") from None
    try:
        _machine(definition, "")
    except (TypeError, AttributeError, KeyError) as error:
        raise InvalidDefinition(f"SCHEMA_VALIDATION_FAILED: a field has the wrong form: {error!r}") from error
    checked: dict[str, Json] = definition
    return checked


def processor(state: Mapping[str, Json]) -> dict[str, Json]:
    """The machine inside a Map, under its present or its former name."""
    inner: dict[str, Json] = state.get("ItemProcessor") or state["Iterator"]
    return inner


def distributed(state: Mapping[str, Json]) -> bool:
    """Whether a Map is distributed: each item is an execution of its own then."""
    return bool(processor(state).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED")


def _machine(machine: Json, where: str, more: frozenset[str] = frozenset()) -> None:
    _object(machine, where)
    _fields(machine, _MACHINE | more, where)
    _query_language(machine, where)
    if not isinstance(machine.get("States"), Mapping) or not machine["States"]:
        _refuse("States must have at least one state", where)
    states = machine["States"]
    _target(machine.get("StartAt"), states, f"{where}/StartAt")
    for name, state in states.items():
        _state(state, states, f"{where}/States/{name}")
    reached, following = set(), [machine["StartAt"]]
    while following:
        name = following.pop()
        if name not in reached:
            reached.add(name)
            following += _targets(states[name])
    if unreached := sorted(set(states) - reached):
        _refuse(f"State {unreached[0]!r} is not reachable", where)


def _state(state: Json, states: Mapping[str, Json], where: str) -> None:
    _object(state, where)
    kind = state.get("Type")
    if kind not in _STATES:
        _refuse(f"the embedded AWS does not run states of type {kind!r}", where)
    _fields(state, _ANY_STATE | _STATES[kind], where)
    _query_language(state, where)
    if "Next" in _STATES[kind] and ("Next" in state) == (state.get("End") is True):
        _refuse("must have either Next or End", where)
    for target in _targets(state):
        _target(target, states, where)
    try:
        for name in _PATHS:
            if state.get(name) is not None:
                check_expression(state[name])
        for name in _TEMPLATES:
            check_template(state.get(name))
        if state.get("ResultPath") is not None:
            check_reference(state["ResultPath"])
        if kind == "Choice":
            _choices(state)
        elif kind == "Task":
            _task(state)
    except (ValueError, TypeError, AttributeError) as error:
        _refuse(str(error), where)
    if kind == "Map":
        _map(state, where)
    if kind == "Wait" and ("Seconds" in state) == ("SecondsPath" in state):
        _refuse("must have either Seconds or SecondsPath", where)
    for retrier in state.get("Retry", []):
        _retrier(retrier, f"{where}/Retry")
    for catcher in state.get("Catch", []):
        _fields(catcher, _CATCH, f"{where}/Catch")
        _errors(catcher, f"{where}/Catch")


def _choices(state: Mapping[str, Json]) -> None:
    if not state.get("Choices"):
        raise ValueError("Choices must have at least one rule")
    for rule in state["Choices"]:
        if "Next" not in rule:
            raise ValueError("a choice rule must have Next")
        check_rule(rule)


def _task(state: Mapping[str, Json]) -> None:
    resource = str(state.get("Resource"))
    if resource == LAMBDA_INVOKE:
        parameters = state.get("Parameters", {})
        if unknown := sorted(set(parameters) - _INVOKE):
            raise ValueError(f"the embedded AWS does not pass {unknown[0]} to lambda:invoke")
        if not {"FunctionName", "FunctionName.$"} & set(parameters):
            raise ValueError("lambda:invoke must be given FunctionName")
    elif resource.split(":")[2:3] != ["lambda"] or resource.split(":")[5:6] != ["function"]:
        raise ValueError(f"the embedded AWS runs tasks of Lambda functions only, got {resource}")
    timeout = state.get("TimeoutSeconds", 1)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 1:
        raise ValueError(f"TimeoutSeconds must be a positive integer, got {timeout!r}")


def _map(state: Mapping[str, Json], where: str) -> None:
    name = "ItemProcessor" if "ItemProcessor" in state else "Iterator"
    inner = state.get(name)
    _machine(inner, f"{where}/{name}", frozenset({"ProcessorConfig"}))
    _fields(processor(state).get("ProcessorConfig", {}), {"Mode", "ExecutionType"}, f"{where}/{name}")
    if "Label" in state and not distributed(state):
        _refuse("Label is for distributed maps", where)


def _retrier(retrier: Mapping[str, Json], where: str) -> None:
    _fields(retrier, _RETRY, where)
    _errors(retrier, where)
    bounds = {"IntervalSeconds": 1, "MaxAttempts": 0, "BackoffRate": 1, "MaxDelaySeconds": 1}
    for name, least in bounds.items():
        value = retrier.get(name, least)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
            _refuse(f"{name} must be at least {least}, got {value!r}", where)
    if retrier.get("JitterStrategy", "NONE") not in ("NONE", "FULL"):
        _refuse(f"JitterStrategy must be FULL or NONE, got {retrier['JitterStrategy']!r}", where)


def _errors(handler: Mapping[str, Json], where: str) -> None:
    names = handler.get("ErrorEquals")
    if not isinstance(names, list) or not names:
        _refuse("ErrorEquals must name at least one error", where)
    elif "States.ALL" in names and len(names) > 1:
        _refuse("States.ALL must stand alone in ErrorEquals", where)


def _targets(state: Mapping[str, Json]) -> list[str]:
    rules = [*state.get("Choices", []), *state.get("Catch", [])]
    found = [state.get("Next"), state.get("Default"), *(rule.get("Next") for rule in rules)]
    return [target for target in found if target is not None]


def _target(target: Json, states: Mapping[str, Json], where: str) -> None:
    if target not in states:
        raise InvalidDefinition(f"MISSING_TRANSITION_TARGET: Missing 'Next' target: {target} at {where}")


def _query_language(part: Mapping[str, Json], where: str) -> None:
    if part.get("QueryLanguage", "JSONPath") != "JSONPath":
        _refuse(f"the embedded AWS evaluates JSONPath only, got {part['QueryLanguage']}", where)


def _object(value: Json, where: str) -> None:
    if not isinstance(value, Mapping):
        _refuse("must be an object", where)


def _fields(part: Mapping[str, Json], known: set[str], where: str) -> None:
    if unknown := sorted(set(part) - known - {"Comment"}):
        _refuse(f"the embedded AWS does not know the field {unknown[0]!r}", where)


def _refuse(problem: str, where: str) -> None:
    raise InvalidDefinition(f"SCHEMA_VALIDATION_FAILED: {problem} at {where or '/'}")
