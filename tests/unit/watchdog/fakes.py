"""A SageMaker, a log and a topic that are as the test says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from quant_llm_watchdog.edges import Edges
from quant_llm_watchdog.endpoint import Endpoint
from quant_llm_watchdog.notice import Notice

NAME = "moh-mistral-7b"
BEGAN = 1_800_000_000.0
SENTENCE = "no GGUF in /opt/ml/model, found README.md"
END = json.dumps({"level": "error", "message": SENTENCE, "exit_code": 3})
LIMITS = {"instance_type": "ml.g5.xlarge", "start_seconds": 1200, "update_seconds": 9000}
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"


def described(status: str, configuration: str = "new", **more: Any) -> dict[str, Any]:
    """DescribeEndpoint's answer; `pending` is the configuration that an update moves to."""
    moment = datetime.fromtimestamp(BEGAN, UTC)
    pending = more.pop("pending", None)
    summary = {"EndpointConfigName": pending, "StartTime": moment}
    return {
        "EndpointName": NAME,
        "EndpointStatus": status,
        "EndpointConfigName": configuration,
        "CreationTime": moment,
        "LastModifiedTime": moment,
        **({"PendingDeploymentSummary": summary} if pending else {}),
        **more,
    }


def component(status: str, model: str = "new", **more: Any) -> dict[str, Any]:
    """DescribeInferenceComponent's answer."""
    moment = datetime.fromtimestamp(BEGAN, UTC)
    return {
        "InferenceComponentName": NAME,
        "InferenceComponentStatus": status,
        "Specification": {"ModelName": model},
        "CreationTime": moment,
        "LastModifiedTime": moment,
        **more,
    }


@dataclass
class FakeAws:
    """`now` is the time, `endpoint` what DescribeEndpoint says; what the function did is in the lists."""

    now: float = BEGAN
    endpoint: Mapping[str, Any] | None = None
    lines: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    notices: list[tuple[str, Notice]] = field(default_factory=list)
    executions: dict[str, Any] = field(default_factory=dict)

    def edges(self) -> Edges:
        def start(machine: str, name: str, given: Mapping[str, Any]) -> None:
            assert machine == "machine"
            self.executions.setdefault(name, given)

        def describe(name: str, *, component: bool = False) -> Endpoint | None:
            assert name == NAME
            if self.endpoint is None:
                return None
            read = Endpoint.from_component if component else Endpoint.from_description
            return read(self.endpoint)

        def log_lines(group: str, since: float) -> list[str]:
            self.groups.append(group)
            return self.lines

        return Edges(
            describe=describe,
            log_lines=log_lines,
            publish=lambda topic, notice: self.notices.append((topic, notice)),
            start_execution=start,
            clock=lambda: self.now,
            environment={
                "STATE_MACHINE_ARN": "machine",
                "ENDPOINTS": json.dumps({NAME: LIMITS}),
                "NOTICE_TOPIC_ARN": TOPIC,
            },
        )
