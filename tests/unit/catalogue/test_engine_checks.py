"""What `quantllm agencies check` and synth say of a model's engine, with file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant_llm.agency import AgencyLock, ModelLock, load_agency, lock_path, locked
from quant_llm.catalogue import check, engine_images
from quant_llm.catalogue.engine_images import load_published_images

Change = Callable[..., Path]
VLLM = ("engine: llama.cpp", "engine: vllm")


def lock_as(path: Path, quantization: str, form: str = "safetensors") -> None:
    """The file's lock, as of weights in another quantisation."""
    one = AgencyLock.read(lock_path(path)).models["chat"]
    shape = one.shape.model_copy(update={"format": form, "quantization": quantization})
    models: dict[str, ModelLock] = {"chat": one.model_copy(update={"shape": shape})}
    lock_path(path).write_text(AgencyLock(agency="moh", models=models).to_json())


def problems(path: Path, *, with_lock: bool = True) -> list[str]:
    agency = load_agency(path)
    return [str(problem) for problem in check(agency, locked(agency, path) if with_lock else {})]


def with_variable(change: Change, engine: str, line: str, *more: str) -> Path:
    """The good file with another engine and a variable of the container in line 14."""
    lines = "".join(f"\n      {one}" for one in (line, *more))
    return change(
        ("engine: llama.cpp", f"engine: {engine}"),
        ("      max: 2\n", f"      max: 2\n    environment:{lines}\n"),
    )


@pytest.mark.parametrize("quantization", ["AWQ-4bit", "GPTQ-4bit", "FP8", "BF16", "INT4"])
@pytest.mark.parametrize("engine", ["vllm", "tgi"])
def test_what_the_engine_reads_passes(change: Change, engine: str, quantization: str) -> None:
    path = change(("engine: llama.cpp", f"engine: {engine}"))
    lock_as(path, quantization)
    assert problems(path) == []


@pytest.mark.parametrize(
    ("engine", "quantization", "form", "expected"),
    [
        (
            "vllm",
            "EXL2-4.0bpw",
            "exl2",
            "EXL2-4.0bpw, which the lock has: exllamav2; did you mean 'exllamav2'?",
        ),
        ("vllm", "Q4_K_M", "gguf", "Q4_K_M, which the lock has: llama.cpp; did you mean 'llama.cpp'?"),
        (
            "exllamav2",
            "AWQ-4bit",
            "safetensors",
            "AWQ-4bit, which the lock has: vllm, tgi; did you mean 'vllm'?",
        ),
        ("tgi", "F8_E4M3", "safetensors", "F8_E4M3, which the lock has: none does"),
    ],
)
def test_weights_of_another_engine_are_refused_and_nothing_is_summed(
    change: Change, engine: str, quantization: str, form: str, expected: str
) -> None:
    path = change(("engine: llama.cpp", f"engine: {engine}"), ("concurrency: 4", "concurrency: 200"))
    lock_as(path, quantization, form)
    assert problems(path) == [
        f"agencies/moh.yaml:6: models[0].engine: got '{engine}', expected an engine that reads {expected}"
    ]
    assert problems(path, with_lock=False) == []


def test_a_region_without_the_container_is_refused_unless_an_image_is_brought(
    change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = change(VLLM)
    lock_as(path, "BF16")
    known = load_published_images()
    nowhere = {engine: image.model_copy(update={"accounts": {}}) for engine, image in known.images.items()}
    monkeypatch.setattr(
        engine_images, "load_published_images", lambda: known.model_copy(update={"images": nowhere})
    )
    refused = [
        "agencies/moh.yaml:6: models[0].engine: got 'vllm', expected an engine whose container is in "
        "us-east-1, where AWS has none of vLLM; or name an image of your own with `image`"
    ]
    assert problems(path) == problems(path, with_lock=False) == refused
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own/vllm:1"
    assert problems(change(("engine: vllm", f"engine: vllm\n    image: {image}"))) == []


@pytest.mark.parametrize(
    ("engine", "line", "message"),
    [
        (
            "vllm",
            "OPTION_GPU_MEMORY_UTILISATION: '0.8'",
            "got 'OPTION_GPU_MEMORY_UTILISATION', expected an option of LMI or of its vLLM (DJL Serving "
            "0.36.0); did you mean 'OPTION_GPU_MEMORY_UTILIZATION'?",
        ),
        (
            "vllm",
            "OPTION_MAX_NUM_SEQS: '8'",
            "got 'OPTION_MAX_NUM_SEQS', expected no variable that the stack sets itself: set `concurrency`",
        ),
        (
            "tgi",
            "MAX_INPUT_LENGTH: '100'",
            "got 'MAX_INPUT_LENGTH', expected no variable that the stack sets itself: set `context_length`",
        ),
    ],
)
def test_a_wrong_variable_is_told_at_its_line(change: Change, engine: str, line: str, message: str) -> None:
    path = with_variable(change, engine, "HF_HUB_DISABLE_TELEMETRY: '1'", line)
    lock_as(path, "BF16")
    name = line.partition(":")[0]
    assert problems(path) == [f"agencies/moh.yaml:15: models[0].environment.{name}: {message}"]


def test_the_share_of_the_memory_is_the_files(change: Change) -> None:
    path = with_variable(change, "vllm", "OPTION_GPU_MEMORY_UTILIZATION: '0.3'")
    lock_as(path, "BF16")
    (problem,) = problems(path)
    assert "expected more GPU memory than the 6.7 GiB of 1 x NVIDIA A10G" in problem
