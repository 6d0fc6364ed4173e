"""What of a repository is a quantisation, with repositories in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quant_llm.catalogue import engines_of
from quant_llm.errors import QuantLlmError
from quant_llm_tools.local_aws.hub import gguf_models
from quant_llm_tools.local_aws.hub.architectures import TINY
from quant_llm_tools.local_aws.hub.content import Content
from quant_llm_tools.local_aws.hub.gguf_models import Quantization as Mix
from quant_llm_tools.plan.from_hub import quantizations
from quant_llm_tools.plan.subject import LeftOut, Quantization
from tests.unit.lock.fakes import COMMIT, CONFIG, FakeRepository, safetensors_file


def quiet(_line: str) -> None:
    return


def content(generated: Content) -> bytes:
    return b"".join(generated.chunks(0, generated.size))


Q4 = content(gguf_models.whole(TINY, Mix.Q4_K_M))
Q8 = content(gguf_models.whole(TINY, Mix.Q8_0))
SHARDS = [content(shard) for shard in gguf_models.shards(TINY, Mix.Q8_0, shard_bytes=3_000_000)]
WEIGHTS = safetensors_file({"a": (64, 1000)})
MORE_WEIGHTS = safetensors_file({"a": (64, 2000)})


def config(**quantization: Any) -> bytes:
    return json.dumps(CONFIG | ({"quantization_config": quantization} if quantization else {})).encode()


def found(files: dict[str, bytes]) -> tuple[list[Quantization], list[LeftOut]]:
    commit, quantized, left_out = quantizations(FakeRepository(files), quiet)
    assert commit == COMMIT
    return quantized, left_out


def shards(count: int) -> dict[str, bytes]:
    return {f"tiny-{number:05}-of-{count:05}.gguf": one for number, one in enumerate(SHARDS, start=1)}


def test_each_gguf_and_each_shard_set_is_one() -> None:
    quantized, left_out = found({"a/tiny.Q4_K_M.gguf": Q4, **shards(len(SHARDS)), "README.md": b"#"})
    assert left_out == []
    assert [(one.shape.quantization, one.engine, one.place, one.weight_bytes) for one in quantized] == [
        ("Q4_K_M", "llama.cpp", "a/tiny.Q4_K_M.gguf", len(Q4)),
        ("Q8_0", "llama.cpp", f"tiny-*-of-{len(SHARDS):05}.gguf", sum(map(len, SHARDS))),
    ]
    assert [one.files for one in quantized] == [(one.place,) for one in quantized]


def test_a_shard_set_with_a_gap_and_a_file_that_is_no_model_are_left_out_with_their_reason() -> None:
    quantized, left_out = found({"good.gguf": Q4, **shards(9), "bad.gguf": b"no header at all"})
    assert [one.place for one in quantized] == ["good.gguf"]
    assert {one.name for one in left_out} == {"tiny-*-of-00009.gguf", "bad.gguf"}
    reasons = {one.name: one.reason for one in left_out}
    assert "is not whole" in reasons["tiny-*-of-00009.gguf"]
    assert reasons["bad.gguf"].startswith("not a GGUF file")


def test_brackets_in_a_name_are_no_pattern() -> None:
    quantized, left_out = found({"tiny[1].gguf": Q4, "tiny1.gguf": Q8})
    assert left_out == []
    assert [(one.place, one.weight_bytes) for one in quantized] == [
        ("tiny[1].gguf", len(Q4)),
        ("tiny1.gguf", len(Q8)),
    ]


def test_the_root_and_each_folder_of_safetensors_is_one() -> None:
    quantized, left_out = found(
        {
            "config.json": config(),
            "model.safetensors": WEIGHTS,
            "other/config.json": config(),
            "other/model.safetensors": MORE_WEIGHTS,
            "other/notes.bin": b"1",
            "adapter/adapter.safetensors": WEIGHTS,
        }
    )
    assert [(one.place, one.shape.quantization, one.engine) for one in quantized] == [
        ("", "BF16", "vllm"),
        ("", "BF16", "tgi"),
        ("other", "BF16", "vllm"),
        ("other", "BF16", "tgi"),
    ]
    root, other = quantized[0], quantized[2]
    assert [one.shape.parameters for one in (root, other)] == [64_000, 128_000]
    assert [one.total_bytes - len(config()) for one in (root, other)] == [len(WEIGHTS), len(MORE_WEIGHTS)]
    assert root.notes == ()
    assert "from the root only" in other.notes[0]
    assert [one.name for one in left_out] == ["adapter"]
    assert "config.json" in left_out[0].reason


def test_weights_of_an_unknown_quantisation_are_left_out() -> None:
    quantized, left_out = found({"config.json": config(quant_method="aqlm"), "model.safetensors": WEIGHTS})
    assert quantized == []
    assert "'aqlm'" in left_out[0].reason


def test_only_headers_of_the_weights_are_read() -> None:
    repository = FakeRepository({"config.json": config(), "model.safetensors": WEIGHTS})
    quantizations(repository, quiet)
    assert repository.bytes_read["model.safetensors"] < 200 < len(WEIGHTS)


def test_a_fault_of_the_listing_is_an_error() -> None:
    class Away(FakeRepository):
        def resolve(self) -> str:
            raise QuantLlmError("no hub")

    with pytest.raises(QuantLlmError, match="no hub"):
        quantizations(Away({}), quiet)


@pytest.mark.parametrize(
    ("weights_format", "quantization", "engines"),
    [
        ("gguf", "Q4_0", ("llama.cpp",)),
        ("exl2", "EXL2-4.0bpw", ("exllamav2",)),
        ("safetensors", "GPTQ-4bit", ("exllamav2", "vllm", "tgi")),
        ("safetensors", "GPTQ-8bit", ("vllm", "tgi")),
        ("safetensors", "AWQ-4bit", ("vllm", "tgi")),
        ("safetensors", "GPTQ-2bit", ()),
    ],
)
def test_engines_are_those_that_run_the_format(
    weights_format: str, quantization: str, engines: tuple[str, ...]
) -> None:
    quantized, _ = found({"tiny.gguf": Q4})
    shape = quantized[0].shape.model_copy(update={"format": weights_format, "quantization": quantization})
    assert engines_of(shape) == engines
