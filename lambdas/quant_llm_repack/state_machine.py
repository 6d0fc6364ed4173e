"""The state machine that drives the function, in the Amazon States Language (JSONPath).

    Plan -> Copy, many at a time -> Finish; on any error Fail -> Failed
    and from Finish back to Plan when another execution has ended the upload that both shared

Its input is `{"Request": properties of the artifact, "WaitHandle": URL}`.
https://states-language.net/spec.html
"""

from __future__ import annotations

from typing import Any

from quant_llm_lambda.cloudformation import AnswerError
from quant_llm_repack.errors import RETRIED, UploadGoneError

FAILED = "RepackFailed"
"""The error of an execution whose task `fail` has told CloudFormation why."""

TIMEOUT_SECONDS = 11 * 3600
"""Sooner than the twelve hours of the stack's wait condition, which says "timed out" and no more."""

RESTARTS = 3
"""How often one execution begins anew when others end its upload."""

# What Lambda itself fails with, by the names that Step Functions gives it.
_OF_LAMBDA = (
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "States.Timeout",
)
# Waits of 2, 4, 8, … 256 s at most, each by chance from nothing to that.
_RETRY = {
    "ErrorEquals": [*_OF_LAMBDA, *RETRIED, AnswerError.__name__],
    "IntervalSeconds": 2,
    "BackoffRate": 2.0,
    "MaxDelaySeconds": 300,
    "MaxAttempts": 8,
    "JitterStrategy": "FULL",
}
_SHARED = {"Request.$": "$.Request"}
_WITH_HANDLE = {**_SHARED, "WaitHandle.$": "$.WaitHandle"}


def definition(function_arn: str, max_concurrency: int) -> dict[str, Any]:
    """The definition for the repack function, with at most `max_concurrency` copies at a time.

    The function's WORKERS should be the same number. An error of a class in `errors.RETRIED` or of Lambda
    itself is tried again, any other ends the execution after the task `fail`.
    """
    if max_concurrency < 1:
        raise ValueError(f"max_concurrency must be 1 or more, got {max_concurrency}")
    copy = {
        "StartAt": "Copy",
        "States": {
            "Copy": {
                # Map's ItemSelector has made its input.
                **_task(function_arn, {}),
                "ResultPath": "$.Copied",
                "Next": "Is the item done",
            },
            # A worker whose time is over goes on in a new invocation.
            "Is the item done": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.Copied.Done", "BooleanEquals": True, "Next": "Item done"}],
                "Default": "Copy",
            },
            "Item done": {"Type": "Pass", "Parameters": {}, "End": True},
        },
    }
    return {
        "Comment": "Copies a model from the hub to its archive in S3",
        "TimeoutSeconds": TIMEOUT_SECONDS,
        "StartAt": "Begin",
        "States": {
            "Begin": {"Type": "Pass", "Result": 0, "ResultPath": "$.Restarts", "Next": "Plan"},
            "Plan": {
                **_task(function_arn, {"Task": "plan", **_SHARED}),
                "ResultPath": "$.Plan",
                "Catch": [_catch()],
                "Next": "Copy the parts",
            },
            "Copy the parts": {
                "Type": "Map",
                "ItemsPath": "$.Plan.Items",
                "ItemSelector": {
                    "Task": "copy",
                    **_SHARED,
                    "UploadIds.$": "$.Plan.UploadIds",
                    "Item.$": "$$.Map.Item.Value",
                    "Index.$": "$$.Map.Item.Index",
                },
                "MaxConcurrency": max_concurrency,
                "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, **copy},
                "ResultPath": None,
                "Catch": [_catch()],
                "Next": "Finish",
            },
            "Finish": {
                **_task(function_arn, {"Task": "finish", **_WITH_HANDLE, "UploadIds.$": "$.Plan.UploadIds"}),
                "Catch": [_catch(UploadGoneError.__name__, to="Is it worth a restart"), _catch()],
                "End": True,
            },
            "Is it worth a restart": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.Restarts", "NumericLessThan": RESTARTS, "Next": "Begin again"}],
                "Default": "Fail",
            },
            "Begin again": {
                "Type": "Pass",
                "Parameters": {**_WITH_HANDLE, "Restarts.$": "States.MathAdd($.Restarts, 1)"},
                "Next": "Plan",
            },
            "Fail": {
                **_task(function_arn, {"Task": "fail", **_WITH_HANDLE, "Error.$": "$.Error"}),
                "ResultPath": "$.Failure",
                "Next": "Failed",
            },
            "Failed": {"Type": "Fail", "Error": FAILED, "CausePath": "$.Failure.Reason"},
        },
    }


def _task(function_arn: str, parameters: dict[str, Any]) -> dict[str, Any]:
    task = {"Type": "Task", "Resource": function_arn, "Retry": [_RETRY]}
    return {**task, "Parameters": parameters} if parameters else task


def _catch(error: str = "States.ALL", *, to: str = "Fail") -> dict[str, Any]:
    return {"ErrorEquals": [error], "ResultPath": "$.Error", "Next": to}
