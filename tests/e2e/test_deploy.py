"""From the lock to the answer, byte for byte, and an update that arrives."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quant_llm.agency import AgencyLock
from quant_llm.paths import ROOT
from quant_llm_serving.embedded_metrics import UNITS
from quant_llm_tools.bench.results import Benchmark
from quant_llm_tools.client import call_when_ready
from quant_llm_tools.demo import MESSAGES, ask, ask_streaming, sha256_of_artifact
from quant_llm_tools.local_aws.hosting import find_endpoint
from quant_llm_tools.local_aws.hosting_variant import HostedVariant
from quant_llm_tools.local_aws.reserved_port import ReservedPort
from tests.e2e.conftest import REGION, Platform

pytestmark = pytest.mark.e2e

ENDPOINT = "default-smollm2-135m"
LOCK = AgencyLock.read(ROOT / "agencies" / "default.lock.json").models["smollm2-135m"]
(GGUF,) = LOCK.files


def variant() -> HostedVariant:
    endpoint = find_endpoint(ENDPOINT, REGION)
    assert endpoint is not None
    found = endpoint.choose(None)
    assert found is not None
    return found


def get_json(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.load(response)


def model_file() -> Path:
    (path,) = variant().directory.rglob("*.gguf")
    return path


@contextmanager
def llama_server(model: Path) -> Iterator[str]:
    """llama.cpp's own server on the file, with nothing of the product in between."""
    port = ReservedPort()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "quant_llm_tools.local_aws.llama_server"),
            *("--model", str(model), "--host", "127.0.0.1", "--port", str(port.number)),
            *("--ctx-size", "8192", "--parallel", "4", "--threads", "1"),
        ],
        env={**os.environ, "LLAMA_ARG_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                get_json(f"http://127.0.0.1:{port.number}/health")
                break
            except OSError:
                assert time.monotonic() < deadline, "llama-server did not start"
                assert process.poll() is None, "llama-server ended"
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port.number}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        port.release()


def test_stack_is_complete_and_the_endpoint_in_service(deployed: Platform) -> None:
    assert deployed.stack("default")["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    endpoint = deployed.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)
    assert endpoint["EndpointStatus"] == "InService"


def test_bytes_of_hub_archive_and_model_directory_are_the_same(deployed: Platform) -> None:
    url = f"{deployed.aws.hub_url}/{LOCK.source.hub}/resolve/{LOCK.commit}/{GGUF.path}"
    with urllib.request.urlopen(url) as response:  # noqa: S310 - loopback
        from_hub = hashlib.sha256(response.read()).hexdigest()

    url = deployed.outputs("default")["Smollm2135mModelDataUrl"]
    bucket, _, key = url.removeprefix("s3://").partition("/")
    in_archive = {}
    with tarfile.open(
        fileobj=deployed.client("s3").get_object(Bucket=bucket, Key=key)["Body"], mode="r|gz"
    ) as archive:
        for member in archive:
            extracted = archive.extractfile(member)
            assert extracted is not None
            in_archive[member.name] = hashlib.sha256(extracted.read()).hexdigest()

    in_model_directory = hashlib.sha256(model_file().read_bytes()).hexdigest()
    assert in_archive == {GGUF.path: GGUF.sha256}
    assert from_hub == in_model_directory == GGUF.sha256


def test_greedy_answer_equals_that_of_llama_cpp_on_the_same_file(deployed: Platform) -> None:
    runtime = deployed.client("sagemaker-runtime")
    through_endpoint = ask(runtime, ENDPOINT)["choices"][0]["message"]["content"]
    with llama_server(model_file()) as url:
        direct = get_json(
            f"{url}/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 32, "temperature": 0}
        )
    assert "Paris" in through_endpoint
    assert through_endpoint == direct["choices"][0]["message"]["content"]


def test_stream_arrives_in_pieces_and_says_the_same(deployed: Platform) -> None:
    runtime = deployed.client("sagemaker-runtime")
    pieces = list(ask_streaming(runtime, ENDPOINT))
    assert len(pieces) > 3
    assert "".join(pieces) == ask(runtime, ENDPOINT)["choices"][0]["message"]["content"]


def test_scaling_is_read_back_as_the_file_says(deployed: Platform) -> None:
    scaling = deployed.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert target["ResourceId"] == f"endpoint/{ENDPOINT}/variant/AllTraffic"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 2)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 3
    assert tracking["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    }


def test_bench_measures_the_endpoint_and_knows_what_it_serves(deployed: Platform, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    load = ("--quick", "--prompts", "2", "--seconds", "0.5", "--max-tokens", "8", "--rate", "4")
    done = deployed.run("quantllm", "bench", ENDPOINT, *load, "--json", "--output", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    result = Benchmark.read(path)
    assert json.loads(done.stdout)["errors"] == 0
    assert result.environment.lock_digest == LOCK.digest
    assert result.environment.instance_type == "ml.g4dn.xlarge"
    assert result.article is not None
    assert {request.output_tokens for request in result.article.requests} == {8}
    assert result.article.summary.usd_per_million_output_tokens is not None


def test_changed_context_length_arrives_in_the_running_container(deployed: Platform) -> None:
    path = deployed.agencies / "default.yaml"
    before = path.read_text()
    first = variant().directory
    too_long = {"prompt": "word " * 1500, "max_tokens": 8}
    try:
        path.write_text(before.replace("context_length: 2048", "context_length: 1024"))
        result = deployed.deploy("default")
        assert result.returncode == 0, result.stdout + result.stderr
        assert deployed.stack("default")["StackStatus"] == "UPDATE_COMPLETE"
        assert variant().directory != first
        runtime = deployed.client("sagemaker-runtime")
        with pytest.raises(runtime.exceptions.ModelError, match="exceed_context_size_error"):
            runtime.invoke_endpoint(
                EndpointName=ENDPOINT, ContentType="application/json", Body=json.dumps(too_long)
            )
    finally:
        path.write_text(before)
    result = deployed.deploy("default")
    assert result.returncode == 0, result.stdout + result.stderr
    answer = deployed.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=ENDPOINT, ContentType="application/json", Body=json.dumps(too_long)
    )
    assert json.load(answer["Body"])["usage"]["completion_tokens"] > 0


def test_deploy_without_a_change_changes_nothing(deployed: Platform) -> None:
    before = variant().directory
    result = deployed.deploy("default")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "no changes" in result.stdout + result.stderr
    assert variant().directory == before


AS_FILES = ("    engine: llama.cpp\n", "    engine: llama.cpp\n    artifact: s3-prefix\n")
ALARMS = ("models:\n", "alarms: {notify: [ops@files.example], p90_first_token_seconds: 4}\nmodels:\n")


@pytest.fixture(scope="module")
def as_files(deployed: Platform) -> Platform:
    """The platform with a second agency, `files`, whose artifact is a prefix and which has alarms."""
    deployed.write_agency("files", AS_FILES, ALARMS)
    result = deployed.deploy("files")
    assert result.returncode == 0, result.stdout + result.stderr
    return deployed


def test_files_under_a_prefix_arrive_as_they_are_and_answer(as_files: Platform) -> None:
    deployed = as_files
    bucket, _, prefix = (
        deployed.outputs("files")["Smollm2135mModelDataUrl"].removeprefix("s3://").partition("/")
    )
    s3 = deployed.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [f"{prefix.removesuffix('/')}.manifest.json", f"{prefix}{GGUF.path}"]
    stored = s3.get_object(Bucket=bucket, Key=f"{prefix}{GGUF.path}")["Body"].read()
    assert hashlib.sha256(stored).hexdigest() == GGUF.sha256
    assert sha256_of_artifact(s3, f"s3://{bucket}/{prefix}") == GGUF.sha256

    endpoint = "files-smollm2-135m"
    found = find_endpoint(endpoint, REGION)
    assert found is not None
    hosted = found.choose(None)
    assert hosted is not None
    (path,) = hosted.directory.rglob("*.gguf")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == GGUF.sha256
    runtime = deployed.client("sagemaker-runtime")
    answers = [ask(runtime, name)["choices"][0]["message"]["content"] for name in (endpoint, ENDPOINT)]
    assert "Paris" in answers[0]
    assert answers[0] == answers[1]


def test_alarm_of_the_first_token_reads_the_metric_that_an_answer_makes(as_files: Platform) -> None:
    endpoint = "files-smollm2-135m"
    cloudwatch = as_files.client("cloudwatch")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[f"{endpoint}-first-token"])["MetricAlarms"]
    assert (alarm["Threshold"], alarm["ExtendedStatistic"]) == (4000, "p90")

    def milliseconds() -> float:
        """To the first tokens of all answers so far."""
        now = datetime.now(UTC)
        found = cloudwatch.get_metric_statistics(
            **{name: alarm[name] for name in ("Namespace", "MetricName", "Dimensions", "Period")},
            StartTime=now - timedelta(minutes=30),
            EndTime=now + timedelta(minutes=5),
            Statistics=["Sum"],
            Unit="Milliseconds",
        )
        return float(sum(datapoint["Sum"] for datapoint in found["Datapoints"]))

    before, began = milliseconds(), time.monotonic()
    assert "Paris" in "".join(ask_streaming(as_files.client("sagemaker-runtime"), endpoint))
    took, deadline = 1000 * (time.monotonic() - began), time.monotonic() + 10
    while (after := milliseconds()) == before:
        assert time.monotonic() < deadline, "the log made no metric"
        time.sleep(0.1)
    assert 0 < after - before <= took
    # Nobody asked the other agency's endpoint for alarms, so nobody pays for metrics of it.
    metrics = cloudwatch.list_metrics(Namespace=alarm["Namespace"])["Metrics"]
    assert {dimension["Value"] for metric in metrics for dimension in metric["Dimensions"]} == {endpoint}
    assert {metric["MetricName"] for metric in metrics} == {*UNITS}


def test_going_back_finds_the_older_weights_where_they_were(as_files: Platform) -> None:
    older = as_files.outputs("files")["Smollm2135mModelDataUrl"]
    bucket, _, prefix = older.removeprefix("s3://").partition("/")
    urls = []
    for changes in ((), (AS_FILES,)):
        as_files.write_agency("files", *changes)
        result = as_files.deploy("files")
        assert result.returncode == 0, result.stdout + result.stderr
        urls.append(as_files.outputs("files")["Smollm2135mModelDataUrl"])
    assert urls[0].endswith("/model.tar.gz")
    assert urls[1] == older
    # A second version of a key would be a second copy of the same bytes.
    listed = as_files.client("s3").list_object_versions(Bucket=bucket, Prefix=prefix.removesuffix("/"))
    versions = [each["Key"] for each in listed["Versions"]]
    assert sorted(versions) == sorted(set(versions))
    assert f"{prefix}{GGUF.path}" in versions
    assert (
        "Paris"
        in ask(as_files.client("sagemaker-runtime"), "files-smollm2-135m")["choices"][0]["message"]["content"]
    )


def test_model_with_no_copy_refuses_and_answers_after_it_got_one(deployed: Platform) -> None:
    """The policy that asks for the copy is not simulated: the test does what it would do."""
    deployed.write_agency("asleep", ("{min: 1, max: 2}", "{min: 0, max: 2}"))
    result = deployed.deploy("asleep")
    assert result.returncode == 0, result.stdout + result.stderr
    name = deployed.outputs("asleep")["Smollm2135mInferenceComponentName"]
    assert name == deployed.outputs("asleep")["Smollm2135mEndpointName"] == "asleep-smollm2-135m"
    sagemaker = deployed.client("sagemaker")

    def scale(copies: int) -> None:
        sagemaker.update_inference_component_runtime_config(
            InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": copies}
        )

    def status() -> str:
        described = sagemaker.describe_inference_component(InferenceComponentName=name)
        return str(described["InferenceComponentStatus"])

    scale(0)
    deadline = time.monotonic() + 60
    while status() != "InService":
        assert time.monotonic() < deadline, "the copy did not end"
        time.sleep(0.1)
    refused = deployed.run("quantllm", "invoke", name, "Capital of France?", "--timeout", "0")
    assert refused.returncode == 1
    assert "Inference Component has no capacity to process this request" in refused.stderr

    waits: list[float] = []

    def wake(seconds: float) -> None:
        if not waits:
            scale(1)
        waits.append(seconds)

    answer = call_when_ready(
        deployed.client("sagemaker-runtime").invoke_endpoint,
        name,
        waiting=wake,
        sleep=lambda _: time.sleep(0.2),
        ContentType="application/json",
        Body=json.dumps({"messages": MESSAGES, "max_tokens": 32, "temperature": 0}),
    )
    assert waits
    assert "Paris" in json.load(answer["Body"])["choices"][0]["message"]["content"]
