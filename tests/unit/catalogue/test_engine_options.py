"""Variables of the agency file: what the stack sets itself, and what the containers would not know."""

from __future__ import annotations

import pytest

from quant_llm.agency import Engine
from quant_llm.catalogue.engine_options import RESERVED, load_engine_options, wrong_variable


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("vllm", "OPTION_GPU_MEMORY_UTILIZATION"),
        ("vllm", "OPTION_KV_CACHE_DTYPE"),
        ("vllm", "OPTION_ENABLE_PREFIX_CACHING"),
        ("vllm", "OPTION_MAX_ROLLING_BATCH_PREFILL_TOKENS"),
        ("vllm", "OPTION_TOOL_CALL_PARSER"),
        ("vllm", "OPTION_ENTRYPOINT"),
        ("vllm", "VLLM_ATTENTION_BACKEND"),
        ("vllm", "SERVING_JOB_QUEUE_SIZE"),
        ("tgi", "MAX_BATCH_PREFILL_TOKENS"),
        ("tgi", "KV_CACHE_DTYPE"),
        ("tgi", "EXLLAMA_VERSION"),
        ("tgi", "NCCL_DEBUG"),
        ("llama.cpp", "LLAMA_ARG_UBATCH"),
        ("llama.cpp", "MAX_TOTAL_TOKENS"),
        ("exllamav2", "EXLLAMA_CACHE_MODE"),
    ],
)
def test_good_names_and_names_that_nothing_is_known_of_pass(engine: Engine, name: str) -> None:
    assert wrong_variable(engine, name) is None


@pytest.mark.parametrize(
    ("engine", "name", "expected", "nearest"),
    [
        (
            "vllm",
            "OPTION_MAX_MODEL_LEN",
            "no variable that the stack sets itself: set `context_length`",
            None,
        ),
        ("vllm", "MAX_BATCH_SIZE", "no variable that the stack sets itself: set `concurrency`", None),
        (
            "tgi",
            "NUM_SHARD",
            "no variable that the stack sets itself: all GPUs of the `instance_type` are used",
            None,
        ),
        (
            "vllm",
            "OPTION_GPU_MEMORY_UTILISATION",
            "an option of LMI or of its vLLM (DJL Serving 0.36.0)",
            "OPTION_GPU_MEMORY_UTILIZATION",
        ),
        ("vllm", "OPTION_ZZZ", "an option of LMI or of its vLLM (DJL Serving 0.36.0)", None),
        ("vllm", "SM_VLLM_ZZZ", "an option of LMI or of its vLLM (DJL Serving 0.36.0)", None),
        (
            "vllm",
            "SM_VLLM_KV_CACHE_DTYPE",
            "the name that LMI has for it, with OPTION_",
            "OPTION_KV_CACHE_DTYPE",
        ),
        ("vllm", "ENFORCE_EAGER", "the name that LMI has for it, with OPTION_", "OPTION_ENFORCE_EAGER"),
        ("tgi", "MAX_BATCH_PREFIL_TOKENS", "a variable of TGI 3.3.6", "MAX_BATCH_PREFILL_TOKENS"),
        ("tgi", "OPTION_DTYPE", "a variable of tgi: OPTION_… are those of vllm", None),
        ("llama.cpp", "OPTION_DTYPE", "a variable of llama.cpp: OPTION_… are those of vllm", None),
        ("vllm", "LLAMA_ARG_UBATCH", "a variable of vllm: LLAMA_ARG_… are those of llama.cpp", None),
        (
            "llama.cpp",
            "EXLLAMA_CACHE_MODE",
            "a variable of llama.cpp: EXLLAMA_… are those of exllamav2",
            None,
        ),
    ],
)
def test_a_wrong_name_is_told_with_what_was_meant(
    engine: Engine, name: str, expected: str, nearest: str | None
) -> None:
    wrong = wrong_variable(engine, name)
    assert wrong is not None
    assert (wrong.expected, wrong.nearest) == (expected, nearest)


def test_of_an_own_image_only_what_the_stack_sets_is_known() -> None:
    assert wrong_variable("vllm", "OPTION_ZZZ", brings_image=True) is None
    assert wrong_variable("tgi", "MAX_BATCH_PREFIL_TOKENS", brings_image=True) is None
    assert wrong_variable("vllm", "OPTION_MAX_MODEL_LEN", brings_image=True) is not None
    assert wrong_variable("vllm", "LLAMA_ARG_UBATCH", brings_image=True) is not None


def test_no_known_name_but_a_reserved_one_is_refused() -> None:
    for engine, known in load_engine_options().engines.items():
        refused = {name for name in known.names if wrong_variable(engine, name)}
        assert refused == known.names & set(RESERVED[engine])
