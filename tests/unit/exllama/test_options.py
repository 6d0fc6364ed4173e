"""The engine's options in the environment, and how wrong ones are told."""

from __future__ import annotations

import pytest

from quant_llm_serving.errors import ConfigurationError
from quant_llm_serving.exllama import ExLlama
from quant_llm_serving.exllama_options import ExllamaOptions, cache_tokens, read_exllama_options


def test_the_defaults() -> None:
    assert read_exllama_options({"PATH": "/bin", "EXLLAMA_CACHE_MODE": ""}) == ExllamaOptions()


def test_every_option_is_read() -> None:
    options = read_exllama_options(
        {
            "EXLLAMA_CONTEXT_LENGTH": "2048",
            "EXLLAMA_MAX_BATCH_SIZE": "16",
            "EXLLAMA_CACHE_MODE": "q6",
            "EXLLAMA_CHUNK_SIZE": "512",
            "EXLLAMA_GPU_SPLIT": "20.5, 24",
            "EXLLAMA_TENSOR_PARALLEL": "TRUE",
        }
    )
    assert options == ExllamaOptions(
        context_length=2048,
        max_batch_size=16,
        cache_mode="Q6",
        chunk_size=512,
        gpu_split=(20.5, 24),
        tensor_parallel=True,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("EXLLAMA_CONTEXT_LENGTH", "0", "number from 1"),
        ("EXLLAMA_CONTEXT_LENGTH", "4k", "number from 1"),
        ("EXLLAMA_MAX_BATCH_SIZE", "257", "to 256"),
        ("EXLLAMA_CACHE_MODE", "Q5", "one of FP16, Q8, Q6, Q4, got 'Q5'"),
        ("EXLLAMA_CHUNK_SIZE", "300", "multiple of 256"),
        ("EXLLAMA_GPU_SPLIT", "20;24", "gigabytes"),
        ("EXLLAMA_GPU_SPLIT", "20,", "gigabytes"),
        ("EXLLAMA_TENSOR_PARALLEL", "yes", "one of false, true"),
        ("EXLLAMA_CACHEMODE", "Q4", "did you mean EXLLAMA_CACHE_MODE"),
        ("EXLLAMA_MAX_BATCH", "4", "did you mean EXLLAMA_MAX_BATCH_SIZE"),
    ],
)
def test_a_wrong_option_is_told_by_name(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ExLlama().options({name: value})
    assert name in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["N_GPU_LAYERS", "SERVING_LORA"])
def test_an_option_of_llama_cpp_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} can't be set: it is an option of llama.cpp"):
        ExLlama().options({name: "1"})


def test_only_the_engines_options_are_passed_on() -> None:
    variables = {"EXLLAMA_MAX_BATCH_SIZE": "7", "EXLLAMA_CACHE_MODE": "", "HOME": "/"}
    options = ExLlama().options(variables)
    assert options == {"EXLLAMA_MAX_BATCH_SIZE": "7"}
    assert ExLlama().abilities(options).slots == 7


def test_the_context_is_the_models_up_to_a_default() -> None:
    assert ExllamaOptions().context_for(2048) == 2048
    assert ExllamaOptions().context_for(131072) == 8192
    assert ExllamaOptions(context_length=131072).context_for(131072) == 131072
    with pytest.raises(ConfigurationError, match="at most 2048"):
        ExllamaOptions(context_length=4096).context_for(2048)


@pytest.mark.parametrize(("length", "requests", "tokens"), [(256, 1, 256), (257, 1, 512), (1000, 3, 3072)])
def test_a_cache_has_whole_pages_for_each_request(length: int, requests: int, tokens: int) -> None:
    assert cache_tokens(length, requests) == tokens
