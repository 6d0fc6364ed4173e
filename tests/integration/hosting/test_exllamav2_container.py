"""The ExLlamaV2 image's entrypoint on a machine without a GPU."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_llm.paths import CONTAINER
from quant_llm_tools.local_aws import hosting_settings, images
from tests.integration.exllama.model_files import write_model
from tests.integration.exllama.starter import write_python
from tests.integration.hosting.embedded import EmbeddedAws, running

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/exllamav2"
IMAGE = f"{REPOSITORY}:1"
ENVIRONMENT = {"MODEL": ".", "EXLLAMA_CONTEXT_LENGTH": "512", "EXLLAMA_MAX_BATCH_SIZE": "2"}


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[EmbeddedAws]:
    """With the build context as CodeBuild unpacks it."""
    context = tmp_path / "image"
    for folder in ("exllamav2", "sagemaker"):
        shutil.copytree(CONTAINER / folder, context / folder)
    with running(tmp_path / "aws") as embedded:
        images.register(REPOSITORY, "1", context)
        yield embedded


@pytest.fixture
def model_url(aws: EmbeddedAws, tmp_path: Path) -> str:
    folder = write_model(tmp_path / "model")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, file.name)
    return aws.put_object(archive.getvalue(), "model.tar.gz")


def test_endpoint_fails_and_says_that_there_is_no_gpu(aws: EmbeddedAws, model_url: str) -> None:
    endpoint = aws.deploy("exllama", url=model_url, image=IMAGE, environment=ENVIRONMENT)
    assert endpoint["EndpointStatus"] == "Failed"
    assert hosting_settings.NO_GPU in endpoint["FailureReason"]


def test_entrypoint_and_server_work_on_a_fake_backend(
    aws: EmbeddedAws, model_url: str, tmp_path: Path
) -> None:
    fake = write_python(tmp_path / "fake") / "python3"
    shutil.copy(fake, tmp_path / "aws" / "bin" / "python3")
    endpoint = aws.deploy("exllama", url=model_url, image=IMAGE, environment=ENVIRONMENT)
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    answer = aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="exllama",
        ContentType="application/json",
        Body=json.dumps({"prompt": "say it again", "max_tokens": 12, "temperature": 0}),
    )
    assert json.load(answer["Body"])["choices"][0]["text"] == "say it again"
