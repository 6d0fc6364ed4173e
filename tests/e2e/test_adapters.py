"""LoRA adapters from the agency file to a request: locked, repacked with their model, chosen by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quant_llm.agency import AgencyLock
from quant_llm_tools.local_aws.hub.catalogue import default_repositories
from quant_llm_tools.local_aws.hub.content import FileContent
from quant_llm_tools.local_aws.hub.repository import Repository, RepositoryFile
from quant_llm_tools.local_aws.hub.server import HubServer
from tests.container.gguf_files import write_lora
from tests.e2e.conftest import Platform, bootstrapped

pytestmark = pytest.mark.e2e

ADAPTERS = """
    adapters:
      - name: turned
        source: {hub: quantllm-test/smollm2-lora, files: ["gguf/*"]}
"""
SENTENCE = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The default agency with an adapter, locked and deployed."""
    directory = tmp_path_factory.mktemp("adapters")
    file = write_lora(directory / "turned.gguf", width=576)
    lora = Repository(
        name="quantllm-test/smollm2-lora",
        commit="1a" * 20,
        files=(RepositoryFile("gguf/turned-f32.gguf", FileContent(file)),),
    )
    with bootstrapped(directory, HubServer((*default_repositories(), lora))) as platform:
        path = platform.write_agency("default")
        path.write_text(path.read_text().rstrip() + ADAPTERS)
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
    assert "expected one of smollm2-135m, turned" in unknown.stderr


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
