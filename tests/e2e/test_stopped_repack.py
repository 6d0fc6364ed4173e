"""A repack that ends before its own end fails the deploy at once, in a sentence, and leaves nothing."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from quant_llm_repack.state_machine import TIMEOUT_SECONDS
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e

Json = Any
Finished = subprocess.CompletedProcess[str]


@pytest.fixture
def stalled(platform: Platform) -> Iterator[Platform]:
    """The hub's CDN sends no byte for longer than the test takes."""
    platform.aws.hub.faults.stall("/cdn/*", seconds=60, times=None)
    yield platform
    platform.aws.hub.faults.clear()


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def wait_for(what: str, found: Callable[[], Json]) -> Json:
    deadline = time.monotonic() + 90
    while not (result := found()):
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.1)
    return result


def uploads(platform: Platform) -> list[Json]:
    s3 = platform.client("s3")
    return [
        upload
        for bucket in s3.list_buckets()["Buckets"]
        for upload in s3.list_multipart_uploads(Bucket=bucket["Name"]).get("Uploads", [])
    ]


def executions(platform: Platform, agency: str) -> list[Json]:
    client = platform.client("stepfunctions")
    name = f"{platform.stack_name(agency)}-repack"
    arns = [each["stateMachineArn"] for each in client.list_state_machines()["stateMachines"]]
    return [
        execution
        for arn in arns
        if arn.endswith(f":{name}")
        for execution in client.list_executions(stateMachineArn=arn)["executions"]
    ]


def failure(platform: Platform, agency: str, deploy: Future[Finished]) -> tuple[str, datetime]:
    """Why and when the stack failed: the first event that says so."""
    result = deploy.result(120)
    screen = " ".join((result.stdout + result.stderr).split())
    assert result.returncode == 1, screen
    events = platform.client("cloudformation").describe_stack_events(StackName=platform.stack_name(agency))
    failed = [event for event in events["StackEvents"] if event["ResourceStatus"] == "CREATE_FAILED"]
    reason: str = failed[-1]["ResourceStatusReason"]
    assert reason[:60] in screen
    return reason, failed[-1]["Timestamp"]


def test_a_repack_that_is_stopped_by_hand_fails_the_deploy_and_the_next_one_succeeds(
    stalled: Platform, background: ThreadPoolExecutor
) -> None:
    stalled.write_agency("stopped")
    deploy = background.submit(stalled.deploy, "stopped")
    wait_for("upload", lambda: uploads(stalled))
    (execution,) = executions(stalled, "stopped")
    stopped = datetime.now(UTC)
    stalled.client("stepfunctions").stop_execution(
        executionArn=execution["executionArn"], error="Stopped", cause="the wrong model"
    )
    reason, failed = failure(stalled, "stopped", deploy)
    assert (failed - stopped).total_seconds() < 30
    assert "was stopped before its end; CloudTrail's StopExecution says by whom" in reason
    assert "(Stopped: the wrong model); see the execution " + execution["executionArn"] in reason
    assert uploads(stalled) == []

    stalled.aws.hub.faults.clear()
    again = stalled.deploy("stopped")
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_repack_that_takes_too_long_fails_the_deploy(
    stalled: Platform, background: ThreadPoolExecutor, tmp_path: Path
) -> None:
    stalled.write_agency("late")
    context = ["--context", f"agencies_directory={stalled.agencies}", "--context", "agency=late"]
    synth = stalled.run("cdk", "synth", "--quiet", *context, "--output", str(tmp_path))
    assert synth.returncode == 0, synth.stderr
    template = tmp_path / f"{stalled.stack_name('late')}.template.json"
    text = template.read_text()
    text, found = re.subn(rf'(TimeoutSeconds\\":) ?{TIMEOUT_SECONDS}', r"\1 3", text)
    assert found == 1
    template.write_text(text)

    options = ["--require-approval", "never"]
    deploy = background.submit(
        stalled.run, "cdk", "deploy", "--app", str(tmp_path), stalled.stack_name("late"), *options
    )
    ended = wait_for(
        "execution", lambda: [each for each in executions(stalled, "late") if "stopDate" in each]
    )
    reason, failed = failure(stalled, "late", deploy)
    assert (failed - ended[0]["stopDate"]).total_seconds() < 30
    assert (
        f"took longer than its state machine allows; see the execution {ended[0]['executionArn']}" in reason
    )
    assert uploads(stalled) == []
