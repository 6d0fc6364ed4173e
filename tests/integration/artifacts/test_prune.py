"""`quantllm artifacts` with true boto3 calls: CloudFormation, SageMaker and a versioned bucket by moto."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from quant_llm.agency import AgencyLock
from quant_llm_tools.cli import main

FIXTURES = Path(__file__).parents[2] / "fixtures" / "agencies"
MODEL, LOCK = next(iter(AgencyLock.read(FIXTURES / "default.lock.json").models.items()))
ROLE = "arn:aws:iam::123456789012:role/endpoint"
UNUSED, SERVED = "aa" * 32, "bb" * 32
TEMPLATE = {
    "Resources": {"Models": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "weights"}}},
    "Outputs": {"ModelBucketName": {"Value": {"Ref": "Models"}}},
}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A deployed stack, the agency's files in the current folder."""
    (tmp_path / "agencies").mkdir()
    for name in ("default.yaml", "default.lock.json"):
        shutil.copy(FIXTURES / name, tmp_path / "agencies")
    monkeypatch.chdir(tmp_path)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "eu-west-1",  # the agency's region is what counts
    }.items():
        monkeypatch.setenv(name, value)
    try:
        cloudformation = boto3.client("cloudformation", region_name="us-east-1")
        cloudformation.create_stack(StackName="QuantLlmStack", TemplateBody=json.dumps(TEMPLATE))
        _fill()
        _serve(f"s3://weights/{_folder(SERVED)}model.tar.gz")
        yield
    finally:
        server.stop()


def _folder(digest: str) -> str:
    return f"models/{MODEL}/{digest}/"


def _fill() -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    # moto's CloudFormation leaves this property of a bucket out.
    s3.put_bucket_versioning(Bucket="weights", VersioningConfiguration={"Status": "Enabled"})
    for digest in (LOCK.digest, UNUSED, SERVED):
        for name in ("model.tar.gz", "model.tar.gz", "manifest.json"):  # one of them twice
            s3.put_object(Bucket="weights", Key=_folder(digest) + name, Body=bytes(1000))
    s3.delete_object(Bucket="weights", Key=f"{_folder(UNUSED)}manifest.json")  # leaves a delete marker
    s3.put_object(Bucket="weights", Key="models/note.txt", Body=b"of another's")


def _serve(url: str) -> None:
    sagemaker = boto3.client("sagemaker", region_name="us-east-1")
    container: Any = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1", "ModelDataUrl": url}
    sagemaker.create_model(ModelName="model", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    sagemaker.create_endpoint_config(
        EndpointConfigName="config",
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": "model",
                "InitialInstanceCount": 1,
                "InstanceType": "ml.g4dn.xlarge",
            }
        ],
    )
    sagemaker.create_endpoint(EndpointName="default-old", EndpointConfigName="config")


def _versions_by_digest() -> dict[str, int]:
    page = boto3.client("s3", region_name="us-east-1").list_object_versions(Bucket="weights")
    keys = [one["Key"] for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]]
    return {part: sum(part in key for key in keys) for part in (LOCK.digest, UNUSED, SERVED, "note.txt")}


@pytest.mark.usefixtures("aws")
def test_prune_leaves_no_version_of_the_unused_artifact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["artifacts", "prune", "--yes"]) == 0  # all of them came today
    assert capsys.readouterr().out.splitlines()[-1] == "nothing to remove"
    assert main(["artifacts", "prune", "--yes", "--json", "--older-than", "0"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["freed_bytes"] == 3000
    assert [one["digest"] for one in document["agencies"][0]["artifacts"]] == [UNUSED]
    assert _versions_by_digest() == {LOCK.digest: 3, UNUSED: 0, SERVED: 3, "note.txt": 1}

    assert main(["artifacts", "list", "--json", "default"]) == 0
    (agency,) = json.loads(capsys.readouterr().out)["agencies"]
    assert {one["digest"]: (one["locked"], one["endpoints"]) for one in agency["artifacts"]} == {
        LOCK.digest: (True, []),
        SERVED: (False, ["default-old"]),
    }
