from __future__ import annotations

from typing import Any

import pytest

from tests.unit.local_aws.state_machine import machine, output, run

Json = Any


def choosing(*rules: Json, **more: Json) -> dict[str, Json]:
    names = sorted({rule["Next"] for rule in rules} | set(more.values()))
    ends = {name: {"Type": "Pass", "Result": name, "End": True} for name in names}
    return machine(Choose={"Type": "Choice", "Choices": list(rules), **more}, **ends)


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ({"Variable": "$.n", "NumericGreaterThan": 3}, {"n": 4}),
        ({"Variable": "$.n", "NumericLessThanEquals": 3}, {"n": 3.0}),
        ({"Variable": "$.n", "NumericEqualsPath": "$.m"}, {"n": 1, "m": 1}),
        ({"Variable": "$.s", "StringEquals": "x"}, {"s": "x"}),
        ({"Variable": "$.s", "StringMatches": "part-*.gguf"}, {"s": "part-1.gguf"}),
        ({"Variable": "$.b", "BooleanEquals": False}, {"b": False}),
        ({"Variable": "$.n", "IsPresent": False}, {}),
        ({"Variable": "$.n", "IsNull": True}, {"n": None}),
        ({"Not": {"Variable": "$.n", "IsNumeric": True}}, {"n": "1"}),
        (
            {"And": [{"Variable": "$.n", "IsPresent": True}, {"Variable": "$.n", "NumericEquals": 1}]},
            {"n": 1},
        ),
        ({"Or": [{"Variable": "$.n", "IsPresent": True}, {"Variable": "$.m", "IsPresent": True}]}, {"m": 1}),
    ],
)
def test_choice_takes_the_rule_that_holds(rule: Json, given: Json) -> None:
    assert output(choosing({**rule, "Next": "Yes"}, Default="No"), given) == "Yes"


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ({"Variable": "$.n", "NumericEquals": 1}, {"n": True}),
        ({"Variable": "$.n", "NumericEquals": 1}, {"n": "1"}),
        ({"Variable": "$.s", "StringMatches": "a?c"}, {"s": "abc"}),
        ({"Variable": "$.s", "StringEquals": "X"}, {"s": "x"}),
    ],
)
def test_choice_falls_to_its_default_for_other_types_and_values(rule: Json, given: Json) -> None:
    assert output(choosing({**rule, "Next": "Yes"}, Default="No"), given) == "No"


def test_choice_without_a_match_fails() -> None:
    execution = run(choosing({"Variable": "$.n", "NumericEquals": 1, "Next": "Yes"}), {"n": 2})
    assert (execution.status, execution.error) == ("FAILED", "States.NoChoiceMatched")


def test_choice_on_a_variable_that_is_not_there_is_a_runtime_error() -> None:
    execution = run(choosing({"Variable": "$.n", "NumericEquals": 1, "Next": "Yes"}), {})
    assert execution.error == "States.Runtime"
    assert "Invalid path '$.n'" in str(execution.cause)


def test_pass_fills_templates_and_puts_results_where_it_is_told() -> None:
    state = {
        "Type": "Pass",
        "InputPath": "$.source",
        "Parameters": {
            "first.$": "$.parts[0].etag",
            "all.$": "$.parts[*].etag",
            "who.$": "$$.Execution.Name",
        },
        "ResultPath": "$.made.here",
        "OutputPath": "$.made",
        "End": True,
    }
    given = {"source": {"parts": [{"etag": "a"}, {"etag": "b"}]}}
    assert output(machine(Only=state), given) == {"here": {"first": "a", "all": ["a", "b"], "who": "one"}}


def test_a_result_path_of_null_drops_the_result() -> None:
    state = {"Type": "Pass", "Result": 1, "ResultPath": None, "End": True}
    assert output(machine(Only=state), {"a": 1}) == {"a": 1}


def test_a_path_that_finds_nothing_names_state_path_and_field() -> None:
    execution = run(machine(Only={"Type": "Pass", "Parameters": {"x.$": "$.gone"}, "End": True}), {"a": 1})
    assert execution.error == "States.Runtime"
    assert execution.cause == (
        "An error occurred while executing the state 'Only' (entered at the event id #2)."
        " The JSONPath '$.gone' specified for the field 'x.$' could not be found in the input '{\"a\":1}'"
    )


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("States.Format('{}/{}', $.name, $.n)", "m/2"),
        (r"States.Format('\{\} it\'s {}', $.n)", "{} it's 2"),
        ("States.ArrayRange(1, 5, 2)", [1, 3, 5]),
        ("States.ArrayPartition($.list, 2)", [[1, 2], [3]]),
        ("States.ArrayLength($.list)", 3),
        ("States.ArrayGetItem($.list, 0)", 1),
        ("States.MathAdd($.n, -1)", 1),
        ("States.StringToJson($.text)", {"a": 1}),
        ("States.JsonToString(States.Array($.n, true, null, 'x'))", '[2,true,null,"x"]'),
    ],
)
def test_intrinsic_functions(expression: str, expected: Json) -> None:
    given = {"name": "m", "n": 2, "list": [1, 2, 3], "text": '{"a": 1}'}
    state = {"Type": "Pass", "Parameters": {"value.$": expression}, "OutputPath": "$.value", "End": True}
    assert output(machine(Only=state), given) == expected


def test_an_intrinsic_function_with_wrong_arguments_is_a_runtime_error() -> None:
    state = {"Type": "Pass", "Parameters": {"x.$": "States.StringToJson($.text)"}, "End": True}
    execution = run(machine(Only=state), {"text": "{"})
    assert execution.error == "States.Runtime"
    assert "Invalid arguments in States.StringToJson" in str(execution.cause)


def test_fail_gives_its_error_and_cause_by_value_or_path() -> None:
    execution = run(machine(No={"Type": "Fail", "Error": "Mine", "CausePath": "$.why"}), {"why": "because"})
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "Mine", "because")


def test_output_larger_than_states_may_hand_on_fails() -> None:
    state = {"Type": "Pass", "Parameters": {"a.$": "$.x", "b.$": "$.x"}, "End": True}
    execution = run(machine(Only=state), {"x": "x" * 200_000})
    assert execution.error == "States.DataLimitExceeded"
