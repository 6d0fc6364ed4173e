"""`quantllm local` as it is typed: up, status, env, down, and what is left when the process is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import urllib3

from quant_llm.paths import ROOT
from quant_llm_tools.local_aws.state import running


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    quantllm(tmp_path, "down")


def quantllm(directory: Path, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "quant_llm_tools.cli",
            "local",
            action,
            "--directory",
            str(directory),
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def process_id(directory: Path) -> int:
    state = running(directory)
    assert state is not None
    return state.pid


def test_it_runs_in_the_background_until_it_is_told_to_stop(directory: Path) -> None:
    up = quantllm(directory, "up")
    assert up.returncode == 0, up.stderr
    assert "embedded AWS:  http://localhost:" in up.stdout
    assert f'eval "$(quantllm local env --directory {directory})"' in up.stdout
    state = running(directory)
    assert state is not None
    assert urllib3.request("GET", f"{state.hub_url}/api/models/quantllm-test/tiny-gguf").status == 200

    again = quantllm(directory, "up")
    assert again.returncode == 0
    assert again.stdout == f"already running: {state.endpoint_url} (process {state.pid})\n"

    lines = dict(
        line.removeprefix("export ").split("=", 1)
        for line in quantllm(directory, "env").stdout.split("\n")[:-1]
    )
    assert lines["AWS_ENDPOINT_URL"] == lines["AWS_ENDPOINT_URL_S3"] == state.endpoint_url
    assert lines["HF_ENDPOINT"] == state.hub_url
    assert json.loads(quantllm(directory, "env", "--json").stdout) == lines
    assert set(lines) == {
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "HF_ENDPOINT",
        "SAGEMAKER_VALIDATE_ROLE",
    }

    status = quantllm(directory, "status")
    assert status.returncode == 0
    assert "stacks: none" in status.stdout
    document = json.loads(quantllm(directory, "status", "--json").stdout)
    assert (document["running"], document["stacks"], document["endpoints"]) == (True, [], [])

    down = quantllm(directory, "down")
    assert (down.returncode, down.stdout) == (0, "stopped\n")
    assert not state.alive
    assert not list(directory.glob("quantllm-local-*"))
    after = quantllm(directory, "status")
    assert (after.returncode, after.stdout) == (1, "not running\n")
    assert json.loads(quantllm(directory, "status", "--json").stdout) == {"running": False}
    env = quantllm(directory, "env")
    assert env.returncode == 1
    assert env.stderr == "the embedded AWS is not running: start it with `quantllm local up`\n"


def test_stacks_and_endpoints_are_in_the_status(directory: Path) -> None:
    quantllm(directory, "up")
    state = running(directory)
    assert state is not None
    template = {"Resources": {"Job": {"Type": "AWS::Glue::Job"}}}
    cloudformation = boto3.client(
        "cloudformation",
        region_name="eu-west-1",
        endpoint_url=state.endpoint_url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    cloudformation.create_stack(StackName="shown", TemplateBody=json.dumps(template))
    cloudformation.close()
    deadline = time.monotonic() + 10
    while "ROLLBACK_COMPLETE" not in (shown := quantllm(directory, "status").stdout):
        assert time.monotonic() < deadline, shown
    assert "shown (123456789012, eu-west-1) ROLLBACK_COMPLETE" in shown
    assert "inference components: none" in shown


def test_inference_components_are_in_the_status_with_their_copies(directory: Path) -> None:
    quantllm(directory, "up")
    state = running(directory)
    assert state is not None
    sagemaker = boto3.client(
        "sagemaker",
        region_name="eu-west-1",
        endpoint_url=state.endpoint_url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    role = "arn:aws:iam::123456789012:role/hosting"
    sagemaker.create_endpoint_config(
        EndpointConfigName="shown",
        ExecutionRoleArn=role,
        ProductionVariants=[{"VariantName": "AllTraffic", "InstanceType": "ml.g5.xlarge"}],
    )
    sagemaker.create_endpoint(EndpointName="shown", EndpointConfigName="shown")
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName="shown", WaiterConfig={"Delay": 1, "MaxAttempts": 10}
    )
    sagemaker.create_model(
        ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "nobody/built:it"}
    )
    sagemaker.create_inference_component(
        InferenceComponentName="sleeper",
        EndpointName="shown",
        VariantName="AllTraffic",
        Specification={"ModelName": "m", "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024}},
        RuntimeConfig={"CopyCount": 1},
    )
    sagemaker.close()
    deadline = time.monotonic() + 10
    while "Failed" not in (shown := quantllm(directory, "status").stdout):
        assert time.monotonic() < deadline, shown
    assert "  shown (123456789012, eu-west-1) InService\n" in shown
    assert (
        "  sleeper (123456789012, eu-west-1) Failed, copies: 0: The image 'nobody/built:it' does not" in shown
    )
    (component,) = json.loads(quantllm(directory, "status", "--json").stdout)["components"]
    assert (component["name"], component["status"], component["copies"]) == ("sleeper", "Failed", 0)


def test_what_a_killed_one_left_is_cleared_away(directory: Path) -> None:
    quantllm(directory, "up")
    killed = process_id(directory)
    os.kill(killed, signal.SIGKILL)
    while running(directory) is not None:
        time.sleep(0.02)
    assert list(directory.glob("quantllm-local-*"))
    assert quantllm(directory, "down").stdout == "not running\n"
    up = quantllm(directory, "up")
    assert up.returncode == 0, up.stderr
    assert process_id(directory) != killed
    assert len(list(directory.glob("quantllm-local-*"))) == 1


def test_a_port_that_is_taken_is_said_and_leaves_nothing(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        up = quantllm(directory, "up", "--port", str(taken.getsockname()[1]))
    assert up.returncode == 1
    assert "the embedded AWS did not start" in up.stderr
    assert "in use" in up.stderr
    assert running(directory) is None


def test_a_number_that_is_no_port_is_refused(directory: Path) -> None:
    up = quantllm(directory, "up", "--port", "99999")
    assert up.returncode == 2
    assert "argument --port: got '99999', expected 0 to 65535" in up.stderr


@pytest.mark.parametrize("action", ["up", "down"])
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, action: str) -> None:
    (tmp_path / "file").touch()
    result = quantllm(tmp_path / "file" / "local", action)
    assert result.returncode == 1
    assert result.stderr == (
        f"{tmp_path}/file/local: can't be written: Not a directory; name another folder by --directory\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_stops_at_a_signal(directory: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "quant_llm_tools.cli", "local", "up", "--foreground"]
    with subprocess.Popen(
        [*command, "--directory", str(directory)], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 30
        while running(directory) is None:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(20) == 0
    assert running(directory) is None
