"""The state machine that looks at an endpoint until its change has ended, in the Amazon States Language.

    Look -> ended? -> Wait -> Look …

Its input is `{"Watch": …}` (`quant_llm_watchdog.watch.Watch`).
https://states-language.net/spec.html
"""

from __future__ import annotations

from typing import Any

from quant_llm_watchdog.watch import LONGEST_SECONDS

TIMEOUT_SECONDS = int(LONGEST_SECONDS) + 1800

_RETRY = {
    "ErrorEquals": ["States.ALL"],
    "IntervalSeconds": 5,
    "BackoffRate": 2.0,
    "MaxDelaySeconds": 60,
    "MaxAttempts": 6,
    "JitterStrategy": "FULL",
}


def definition(function_arn: str) -> dict[str, Any]:
    """The definition for the function."""
    return {
        "Comment": "Looks at an endpoint until its change has ended",
        "TimeoutSeconds": TIMEOUT_SECONDS,
        "StartAt": "Look",
        "States": {
            "Look": {
                **_task(function_arn, "look"),
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.Error", "Next": "Give up"}],
                "Next": "Has it ended",
            },
            "Has it ended": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.Done", "BooleanEquals": True, "Next": "Ended"}],
                "Default": "Wait",
            },
            "Wait": {"Type": "Wait", "SecondsPath": "$.Seconds", "Next": "Look"},
            # A watch that is broken must not hold up a stack: the endpoint itself says how it ends.
            "Give up": {**_task(function_arn, "give up"), "End": True},
            "Ended": {"Type": "Succeed"},
        },
    }


def _task(function_arn: str, task: str) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": function_arn,
        "Parameters": {"Task": task, "Watch.$": "$.Watch"},
        "Retry": [_RETRY],
    }
