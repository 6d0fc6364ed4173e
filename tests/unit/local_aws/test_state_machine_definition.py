from __future__ import annotations

import json
from typing import Any

import pytest

from quant_llm_tools.local_aws.step_functions.definition import parsed
from quant_llm_tools.local_aws.step_functions.errors import InvalidDefinition
from tests.unit.local_aws.state_machine import FUNCTION, machine, mapped, task

Json = Any
END = {"Type": "Succeed"}
CATCH = [{"ErrorEquals": ["States.ALL"], "Next": "Gone"}]


@pytest.mark.parametrize(
    ("definition", "told"),
    [
        ([], "must be an object at /"),
        ({"StartAt": "A", "States": {}}, "at least one state"),
        ({**machine(A=END), "StartAt": "B"}, "Missing 'Next' target: B at /StartAt"),
        ({**machine(A=END), "QueryLanguage": "JSONata"}, "JSONPath only, got JSONata"),
        ({**machine(A=END), "Nonsense": 1}, "field 'Nonsense'"),
        (machine(A=END, B=END), "State 'B' is not reachable"),
        (machine(A={"Type": "Parallel"}), "states of type 'Parallel'"),
        (machine(A=task(Nonsense=1)), "field 'Nonsense' at /States/A"),
        (machine(A=task(HeartbeatSeconds=1)), "field 'HeartbeatSeconds'"),
        (machine(A=task(Next="B")), "Missing 'Next' target: B"),
        (machine(A=task(End=False)), "either Next or End"),
        (machine(A=task(Catch=CATCH)), "Missing 'Next' target: Gone"),
        (machine(A=task(TimeoutSeconds=0)), "TimeoutSeconds must be a positive integer, got 0"),
        (machine(A=task(Retry=[{"ErrorEquals": []}])), "at least one error"),
        (machine(A=task(Retry=[{"ErrorEquals": ["A", "States.ALL"]}])), "stand alone"),
        (
            machine(A=task(Retry=[{"ErrorEquals": ["A"], "BackoffRate": 0.5}])),
            "BackoffRate must be at least 1",
        ),
        (machine(A=task(Retry=[{"ErrorEquals": ["A"], "JitterStrategy": "SOME"}])), "FULL or NONE"),
        (machine(A=task(ResultPath="$[*]")), "must name one place"),
        (machine(A=task(InputPath="$..x")), "not a path"),
        (machine(A=task(ResultSelector={"a.$": "x"})), "not an argument"),
        (
            machine(A=task(ResultSelector={"a.$": "States.Hash('x', 'MD5')"})),
            "intrinsic function States.Hash",
        ),
        (machine(A=task(Resource="arn:aws:states:::sqs:sendMessage")), "Lambda functions only"),
        (
            machine(A=task(Resource="arn:aws:states:::lambda:invoke.waitForTaskToken")),
            "Lambda functions only",
        ),
        (machine(A=task(Parameters={"Payload": 1})), "must be given FunctionName"),
        (machine(A=task(Parameters={"FunctionName": FUNCTION, "InvocationType": "Event"})), "InvocationType"),
        (machine(A={"Type": "Choice", "Choices": []}), "at least one rule"),
        (
            machine(A={"Type": "Choice", "Choices": [{"Variable": "$.a", "Is": 1, "Next": "A"}]}),
            "operator 'Is'",
        ),
        (machine(A={"Type": "Wait", "End": True}), "either Seconds or SecondsPath"),
        (machine(A=task(Retry=1)), "wrong form"),
        (machine(A=mapped(task(Nonsense=1))), "/States/A/ItemProcessor/States/Inner"),
        (machine(A=mapped(task(), ItemReader={})), "field 'ItemReader'"),
        (machine(A=mapped(task(), ToleratedFailureCount=1)), "field 'ToleratedFailureCount'"),
    ],
)
def test_a_definition_that_is_wrong_or_would_not_be_run_is_refused(definition: Json, told: str) -> None:
    with pytest.raises(InvalidDefinition) as refusal:
        parsed(json.dumps(definition))
    assert told in str(refusal.value)


def test_a_definition_that_is_not_json_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match="INVALID_JSON_DESCRIPTION"):
        parsed("{")
