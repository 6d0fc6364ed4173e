"""EventBridge rules with functions as their targets, which moto knows but does not call."""

from __future__ import annotations

import copy
import json
import logging
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from moto.awslambda.models import LambdaFunction, lambda_backends
from moto.events.models import Rule, events_backends
from moto.events.utils import EventTemplateParser

from quant_llm_tools.local_aws.cloud import Seam
from quant_llm_tools.local_aws.lambda_runtime import LambdaRuntime

Json = Any
_log = logging.getLogger(__name__)


def seams(runtime: LambdaRuntime) -> list[Seam]:
    """moto raises NotImplementedError for a function as a target, and runs disabled rules too."""
    send_elsewhere = Rule.send_to_targets

    def send_to_targets(rule: Rule, original_event: Json, transform_input: bool = True) -> None:
        if rule.state != "ENABLED" or not rule.event_pattern.matches_event(original_event):
            return
        functions = [target for target in rule.targets if target["Arn"].split(":")[2] == "lambda"]
        for target in functions:
            _call(runtime, rule, target, original_event)
        rest = copy.copy(rule)
        rest.targets = [target for target in rule.targets if target not in functions]
        send_elsewhere(rest, original_event, transform_input)

    return [(Rule, "send_to_targets", send_to_targets)]


def emit(
    account: str, region: str, source: str, detail_type: str, resources: list[str], detail: Json
) -> None:
    """Put an event of a service on the default bus."""
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Resources": resources,
        "Detail": json.dumps(detail, default=str),
    }
    events_backends[account][region].put_events([entry])


def _call(runtime: LambdaRuntime, rule: Rule, target: dict[str, Json], original_event: Json) -> None:
    _, _, _, region, account, _, name = target["Arn"].split(":")[:7]
    function = lambda_backends[account][region].get_function(name)
    if not _permitted(function, rule.arn):
        _log.error("rule %s may not invoke %s: the function's policy does not allow it", rule.name, name)
        return
    event = {name: value for name, value in original_event.items() if name != "ingestion-time"}
    event["time"] = datetime.fromtimestamp(float(event["time"]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if "Input" in target:
        event = json.loads(target["Input"])
    elif "InputPath" in target:
        event = EventTemplateParser.parse("<input>", {"input": target["InputPath"]}, original_event)
    elif "InputTransformer" in target:
        transformer = target["InputTransformer"]
        paths = transformer.get("InputPathsMap", {})
        event = EventTemplateParser.parse(transformer["InputTemplate"], paths, original_event)
    runtime.start(function, event)


def _permitted(function: LambdaFunction, rule_arn: str) -> bool:
    """Whether the function's policy lets EventBridge call it for this rule; if not, AWS drops the event."""
    for statement in function.policy.statements:
        if statement.get("Principal") != {"Service": "events.amazonaws.com"}:
            continue
        source = statement.get("Condition", {}).get("ArnLike", {}).get("AWS:SourceArn", "*")
        if fnmatchcase(rule_arn, source):
            return True
    return False
