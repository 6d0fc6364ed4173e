"""The arithmetic of memory, disk and time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm.agency import Engine
from quant_llm.catalogue import (
    GIB,
    MIB,
    InstanceType,
    Workload,
    decode_limit,
    disk_bytes,
    download_seconds,
    kv_cache_bytes,
    load_catalogue,
    longest_context,
    memory_needed,
    startup_seconds,
    usable_bytes,
    volume_gb,
)
from quant_llm.catalogue.overhead import OVERHEADS, feed_forward_size
from tests.unit.catalogue.models import HUGE, LARGE, SMALL, shape, workload

ENGINES: tuple[Engine, ...] = ("llama.cpp", "exllamav2", "vllm", "tgi")
SHAPES = (SMALL, shape(), LARGE, HUGE)


def find(instance_type: str) -> InstanceType:
    found = load_catalogue().find(instance_type)
    assert found is not None
    return found


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    return workload(
        draw(st.sampled_from(ENGINES)),
        of=draw(st.sampled_from(SHAPES)),
        weights=draw(st.integers(10**8, 10**12)),
        context_length=draw(st.integers(128, 131072)),
        concurrency=draw(st.integers(1, 256)),
    )


def test_the_kv_cache_of_a_known_model() -> None:
    """Mistral 7B has 128 KiB a token: 32 layers x 8 heads x 128 x 2 x 2 bytes."""
    assert kv_cache_bytes(workload(context_length=8192, concurrency=8)) == 128 * 1024 * 8192 * 8


def test_a_context_is_rounded_up_to_whole_pages() -> None:
    assert kv_cache_bytes(workload(context_length=257)) == kv_cache_bytes(workload(context_length=512))


@pytest.mark.parametrize(
    ("engine", "options", "bits"),
    [
        ("llama.cpp", {}, 32),
        ("llama.cpp", {"LLAMA_ARG_CACHE_TYPE_K": "q8_0", "LLAMA_ARG_CACHE_TYPE_V": "q8_0"}, 17),
        ("llama.cpp", {"LLAMA_ARG_CACHE_TYPE_K": "q4_0"}, 20.5),
        ("llama.cpp", {"LLAMA_ARG_CACHE_TYPE_K": "f32"}, 48),
        ("llama.cpp", {"LLAMA_ARG_CACHE_TYPE_K": "a type of next year"}, 32),
        ("exllamav2", {"EXLLAMA_CACHE_MODE": "Q4"}, 9),
        ("exllamav2", {"EXLLAMA_CACHE_MODE": "FP16"}, 32),
        ("vllm", {"OPTION_KV_CACHE_DTYPE": "fp8"}, 16),
        ("tgi", {"KV_CACHE_DTYPE": "fp8_e4m3fn"}, 16),
        ("tgi", {"OPTION_KV_CACHE_DTYPE": "fp8"}, 32),
    ],
)
def test_a_quantised_cache_is_smaller(engine: Engine, options: dict[str, str], bits: float) -> None:
    numbers = 32 * 8 * 128 * 4096
    assert kv_cache_bytes(workload(engine, options=options)) == numbers * bits / 8


@given(workloads(), st.sampled_from([1, 2, 4, 8]))
def test_memory_is_the_sum_of_its_parts_and_grows_with_what_is_asked(one: Workload, gpus: int) -> None:
    need = memory_needed(one, gpus)
    assert need.total == need.weights + need.kv_cache + need.overhead
    assert min(need.weights + need.kv_cache, need.overhead) > 0
    more = replace(one, concurrency=one.concurrency + 1)
    longer = replace(one, context_length=one.context_length + 256)
    heavier = replace(one, weight_bytes=one.weight_bytes * 2)
    for larger in (more, longer):
        assert memory_needed(larger, gpus).total > need.total
    assert memory_needed(heavier, gpus).total >= need.total


@given(workloads(), st.sampled_from([2, 4, 8]))
def test_a_gpu_never_holds_less_than_its_share_and_never_more_than_all(one: Workload, gpus: int) -> None:
    whole, need = memory_needed(one, 1), memory_needed(one, gpus)
    assert whole.weights == one.weight_bytes
    assert (need.weights + need.kv_cache) * gpus >= whole.weights + whole.kv_cache
    assert need.weights <= whole.weights
    assert need.kv_cache <= whole.kv_cache
    assert need.gpu_count == gpus


def test_whole_layers_are_dealt_out_and_the_last_gpu_has_the_output_layer() -> None:
    """32 layers and the output layer over 4 GPUs: 9 + 8 + 8 + 7 and the output layer."""
    one = workload(weights=32 * 100_000_000 + 32000 * 4096)
    need = memory_needed(one, 4)
    assert need.weights == pytest.approx(9 * 100_000_000, rel=0.01)
    assert need.kv_cache == pytest.approx(kv_cache_bytes(one) * 9 / 32, rel=0.001)


def test_vllm_copies_a_head_to_gpus_that_would_have_none() -> None:
    one = workload("vllm", of=shape(key_value_heads=2))
    assert memory_needed(one, 2).kv_cache == kv_cache_bytes(one) / 2
    assert memory_needed(one, 8).kv_cache == kv_cache_bytes(one) / 2


def test_the_arithmetic_is_told_in_one_line() -> None:
    need = memory_needed(workload(weights=4 * GIB, context_length=8192, concurrency=8), 1)
    assert need.arithmetic.startswith("weights 4.0 + KV cache 8.0 + overhead 0.")
    assert need.arithmetic.endswith(f" = {need.total / GIB:.1f} GiB")
    assert memory_needed(workload(), 4).arithmetic.endswith(" GiB on each of 4 GPUs")


@pytest.mark.parametrize(
    ("parameters", "layers", "heads", "kv_heads", "embedding", "vocabulary", "true_width"),
    [
        (6_738_415_616, 32, 32, 32, 4096, 32000, 11008),  # Llama 2 7B
        (7_241_732_096, 32, 32, 8, 4096, 32000, 14336),  # Mistral 7B
        (33_743_970_304, 48, 64, 8, 8192, 32000, 22016),  # CodeLlama 34B
        (70_553_706_496, 80, 64, 8, 8192, 128256, 28672),  # Llama 3 70B
    ],
)
def test_the_feed_forward_width_is_found_from_the_parameters(
    parameters: int, layers: int, heads: int, kv_heads: int, embedding: int, vocabulary: int, true_width: int
) -> None:
    found = feed_forward_size(
        shape(
            parameters=parameters,
            layers=layers,
            attention_heads=heads,
            key_value_heads=kv_heads,
            embedding_size=embedding,
            vocabulary_size=vocabulary,
        )
    )
    assert true_width <= found <= true_width * 1.05


def test_a_mixture_of_experts_is_not_taken_for_one_wide_layer() -> None:
    assert feed_forward_size(shape(parameters=46_702_792_704)) == 8 * 4096  # Mixtral 8x7B


@pytest.mark.parametrize(
    ("tokens", "requests", "batch", "logged_mib"),
    [
        (2048, 1, 512, 16.6426),
        (8192, 4, 128, 4.1607),
        (8192, 4, 2048, 66.5703),
        (32768, 1, 512, 46.6426),
        (32768, 4, 512, 22.6426),
        (32768, 64, 512, 18.1428),
        (32768, 128, 512, 29.8931),
        (65536, 256, 512, 53.8936),
    ],
)
def test_the_compute_buffer_of_llama_cpp_is_the_one_that_it_logs(
    tokens: int, requests: int, batch: int, logged_mib: float
) -> None:
    """Logged by llama.cpp b11549 for SmolLM2-135M, with flash attention: "compute buffer size is … MiB"."""
    one = workload(
        of=SMALL,
        context_length=tokens // requests,
        concurrency=requests,
        options={"LLAMA_ARG_UBATCH": str(batch)},
    )
    buffers = OVERHEADS["llama.cpp"].buffers(one, 1) / MIB
    assert buffers == pytest.approx(logged_mib, rel=0.01)


def test_a_larger_batch_needs_a_larger_buffer() -> None:
    small = memory_needed(workload(options={"LLAMA_ARG_UBATCH": "128"}), 1)
    large = memory_needed(workload(options={"LLAMA_ARG_UBATCH": "2048"}), 1)
    assert small.overhead < memory_needed(workload(), 1).overhead < large.overhead
    chunk = memory_needed(workload("exllamav2", options={"EXLLAMA_CHUNK_SIZE": "512"}), 1)
    assert chunk.overhead < memory_needed(workload("exllamav2"), 1).overhead


@pytest.mark.parametrize("text", ["", "many", "-1", "0", "nan", "inf"])
def test_an_option_that_is_no_number_counts_as_the_default(text: str) -> None:
    assert memory_needed(workload(options={"LLAMA_ARG_UBATCH": text}), 1) == memory_needed(workload(), 1)


@pytest.mark.parametrize(
    ("engine", "option", "default"),
    [
        ("vllm", "OPTION_MAX_ROLLING_BATCH_PREFILL_TOKENS", 2048),
        ("vllm", "OPTION_MAX_NUM_BATCHED_TOKENS", 2048),
        ("tgi", "MAX_BATCH_PREFILL_TOKENS", 4096),
    ],
)
def test_a_larger_step_takes_more_memory_for_activations(engine: Engine, option: str, default: int) -> None:
    plain, same, larger = (
        memory_needed(workload(engine, options=options), 1).overhead
        for options in ({}, {option: str(default)}, {option: "16384"})
    )
    assert plain == same < larger


def test_lmis_own_name_of_the_step_wins_over_vllms() -> None:
    both = {"OPTION_MAX_ROLLING_BATCH_PREFILL_TOKENS": "4096", "OPTION_MAX_NUM_BATCHED_TOKENS": "16384"}
    lmi = {"OPTION_MAX_ROLLING_BATCH_PREFILL_TOKENS": "4096"}
    assert memory_needed(workload("vllm", options=both), 1) == memory_needed(workload("vllm", options=lmi), 1)


def test_less_than_the_reported_memory_is_usable() -> None:
    assert usable_bytes(find("ml.g4dn.xlarge"), workload()) == 14910 * 1024**2  # of 16384
    assert usable_bytes(find("ml.g5.xlarge"), workload()) == int(22888 * 0.97 * 1024**2)
    assert usable_bytes(find("ml.g5.xlarge"), workload("vllm")) == int(22888 * 0.9 * 1024**2)
    share = workload("vllm", options={"OPTION_GPU_MEMORY_UTILIZATION": "0.5"})
    assert usable_bytes(find("ml.g5.xlarge"), share) == 22888 // 2 * 1024**2
    room = workload("tgi", options={"TGI_WIGGLE_ROOM": "0.5"})
    assert usable_bytes(find("ml.g5.xlarge"), room) == 22888 // 2 * 1024**2
    assert usable_bytes(find("ml.g5.xlarge"), workload("tgi")) == int(22888 * 0.9 * 1024**2)
    assert usable_bytes(find("ml.p6e-gb200.36xlarge"), workload()) is None


@given(workloads(), st.sampled_from(load_catalogue().instances))
def test_the_longest_context_fits_and_the_next_page_does_not(one: Workload, instance: InstanceType) -> None:
    pages = longest_context(one, instance)
    usable = usable_bytes(instance, one)
    if usable is None:
        assert pages == 0
        return

    def needed(tokens: int) -> int:
        return memory_needed(replace(one, context_length=tokens), instance.gpu_count).total

    assert pages % 256 == 0
    assert pages <= one.context_length
    assert pages == 0 or needed(pages) <= usable
    assert pages + 256 > one.context_length or needed(pages + 256) > usable


def test_an_archive_needs_room_twice() -> None:
    assert disk_bytes(workload(total_bytes=10**9)) == 2 * 10**9
    assert disk_bytes(workload(total_bytes=10**9, artifact="s3-prefix")) == 10**9


def test_a_volume_is_asked_for_only_without_an_instance_store() -> None:
    assert volume_gb(workload(), find("ml.g5.xlarge")) is None
    assert volume_gb(workload(total_bytes=10**9), find("ml.p3.2xlarge")) == 30
    assert volume_gb(workload(total_bytes=95 * 10**9), find("ml.p3.2xlarge")) == 200


def test_timeouts_grow_with_the_size_and_stay_within_sagemakers_bounds() -> None:
    assert (download_seconds(0), startup_seconds(0, "llama.cpp")) == (300, 300)
    assert (download_seconds(10 * 10**9), startup_seconds(10 * 10**9, "exllamav2")) == (500, 400)
    assert (download_seconds(10**12), startup_seconds(10**12, "llama.cpp")) == (3600, 3600)


@pytest.mark.parametrize("engine", ["vllm", "tgi"])
def test_engines_that_compile_and_capture_graphs_have_more_time_to_start(engine: Engine) -> None:
    assert (startup_seconds(0, engine), startup_seconds(10 * 10**9, engine)) == (600, 700)
    assert startup_seconds(10**12, engine) == 3600


def test_the_speed_limit_is_the_bandwidth_over_the_weights() -> None:
    one = workload(weights=6 * 10**9)
    assert decode_limit(one, find("ml.g5.xlarge")) == pytest.approx(100)
    assert decode_limit(one, find("ml.g5.12xlarge")) == pytest.approx(100)  # layers take turns
    assert decode_limit(replace(one, engine="vllm"), find("ml.g5.12xlarge")) == pytest.approx(400)
    assert decode_limit(one, find("ml.p6e-gb200.36xlarge")) is None
