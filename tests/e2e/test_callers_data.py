"""What callers leave in S3 and find there: asynchronous requests, and what is captured."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.sns.models import sns_backends

from quant_llm_tools.demo import MESSAGES, ask
from tests.e2e.conftest import ACCOUNT, REGION, Platform

pytestmark = pytest.mark.e2e

SCALING = "scaling: {min: 1, max: 2}"
REQUEST = {"messages": MESSAGES, "max_tokens": 32, "temperature": 0}


def eventually(s3: Any, url: str) -> dict[str, Any]:
    """The object there, as soon as it is."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    deadline = time.monotonic() + 60
    while True:
        try:
            return dict(s3.get_object(Bucket=bucket, Key=key))
        except ClientError:
            assert time.monotonic() < deadline, f"no {url}"
            time.sleep(0.2)


def test_a_request_that_is_left_in_s3_is_answered_there_by_the_model(platform: Platform) -> None:
    platform.write_agency("patient", (SCALING, "mode: async\n    scaling: {min: 0, max: 2}"))
    result = platform.deploy("patient")
    assert result.returncode == 0, result.stdout + result.stderr
    outputs, s3 = platform.outputs("patient"), platform.client("s3")
    url = f"{outputs['Smollm2135mInputUrl']}capital.json"
    bucket, _, key = url.removeprefix("s3://").partition("/")
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(REQUEST).encode())

    endpoint = platform.client("sagemaker").describe_endpoint(EndpointName="patient-smollm2-135m")
    assert endpoint["AsyncInferenceConfig"]["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 4}
    answer = platform.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName="patient-smollm2-135m",
        InputLocation=url,
        ContentType="application/json",
        InferenceId="capital",
    )
    stored = eventually(s3, answer["OutputLocation"])
    assert "Paris" in json.load(stored["Body"])["choices"][0]["message"]["content"]
    assert stored["ServerSideEncryption"] == "aws:kms"
    assert answer["OutputLocation"].startswith(f"s3://{bucket}/async/smollm2-135m/output/")

    topic = sns_backends[ACCOUNT][REGION].topics[outputs["Smollm2135mSuccessTopicArn"]]
    deadline = time.monotonic() + 10
    while not topic.sent_notifications:
        assert time.monotonic() < deadline, "nobody was told"
        time.sleep(0.1)
    ((_, message, *_),) = topic.sent_notifications
    assert json.loads(message)["inferenceId"] == "capital"

    scaling = platform.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 2)
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert {policy["PolicyType"] for policy in policies} == {"TargetTrackingScaling", "StepScaling"}

    # The same endpoint answers at once when the file says so, and keeps what it is asked.
    path = platform.agencies / "patient.yaml"
    path.write_text(
        path.read_text().replace(
            "mode: async\n    scaling: {min: 0, max: 2}", f"capture: {{percent: 100}}\n    {SCALING}"
        )
    )
    result = platform.deploy("patient")
    assert result.returncode == 0, result.stdout + result.stderr
    answered = ask(platform.client("sagemaker-runtime"), "patient-smollm2-135m")
    kept = s3.list_objects_v2(Bucket=bucket, Prefix="capture/smollm2-135m/")["Contents"]
    assert len(kept) == 1
    line = json.load(s3.get_object(Bucket=bucket, Key=kept[0]["Key"])["Body"])
    assert json.loads(line["captureData"]["endpointOutput"]["data"]) == answered
    assert json.loads(line["captureData"]["endpointInput"]["data"])["messages"] == MESSAGES
