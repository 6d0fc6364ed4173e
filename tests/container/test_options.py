"""Environment variables: checked and printed at the start, and handed to the engine under its own names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.container.conftest import Run
from tests.container.process import PACKAGE


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MODLE", "m.gguf", "unknown environment variable MODLE, did you mean MODEL"),
        ("N_GPU_LAYER", "9", "unknown environment variable N_GPU_LAYER, did you mean N_GPU_LAYERS"),
        (
            "SERVING_DRAIN",
            "9",
            "unknown environment variable SERVING_DRAIN, did you mean SERVING_DRAIN_SECONDS, "
            "expected one of SERVING_BIND_ADDRESS, SERVING_DRAIN_SECONDS, SERVING_HEALTH_SECONDS, "
            "SERVING_LORA, SERVING_QUEUE_LENGTH, SERVING_REQUEST_SECONDS, SERVING_STALL_SECONDS, "
            "SERVING_STREAM_SECONDS",
        ),
        (
            "LLAMA_ARG_CTXSIZE",
            "9",
            "llama-server has no option LLAMA_ARG_CTXSIZE, did you mean LLAMA_ARG_CTX_SIZE",
        ),
        ("LLAMA_ARG_LORA", "a.gguf", "llama-server has no option LLAMA_ARG_LORA, set SERVING_LORA"),
        (
            "LLAMA_ARG_N_PARALLEL",
            "0",
            "LLAMA_ARG_N_PARALLEL must be a number of slots, or -1 for 4, got '0'",
        ),
        (
            "LLAMA_ARG_SPEC_DRAFT_MODEL",
            "m.gguf",
            "LLAMA_ARG_SPEC_DRAFT_MODEL needs LLAMA_ARG_SPEC_TYPE, expected draft-simple for an ordinary "
            "model",
        ),
        ("LLAMA_ARG_PORT", "9", "LLAMA_ARG_PORT can't be set: the engine listens on a socket of its own"),
        ("N_GPU_LAYERS", "many", "N_GPU_LAYERS must be a number of layers, 'all' or 'auto', got 'many'"),
        (
            "INVOCATIONS_ROUTE",
            "/chat",
            "INVOCATIONS_ROUTE must be one of /v1/chat/completions, /v1/completions, /v1/embeddings, "
            "got '/chat'",
        ),
    ],
)
@pytest.mark.usefixtures("model")
def test_a_wrong_option_ends_the_container_at_the_start(
    start: Run, name: str, value: str, message: str
) -> None:
    container = start(**{name: value})
    assert container.wait_for_exit(5) == 2
    assert container.entries[-1]["message"].startswith(message)
    assert container.entries[-1]["level"] == "error"
    assert container.entries[-1]["exit_code"] == 2


def test_a_port_that_is_taken_ends_the_container(run: Run, start: Run) -> None:
    port = str(run().port)
    second = start(SAGEMAKER_BIND_TO_PORT=port)
    assert second.wait_for_exit(5) == 2
    assert second.entries[-1]["message"].startswith(f"can't listen on 127.0.0.1:{port}")


def test_the_options_reach_the_engine(run: Run) -> None:
    container = run(N_GPU_LAYERS="999", LLAMA_ARG_CTX_SIZE="8192", LLAMA_ARG_N_PARALLEL="4")
    _, answer = container.request("GET", "/v1/models")
    arguments = answer["arguments"]
    assert arguments[arguments.index("--n-gpu-layers") + 1] == "999"
    assert answer["options"] == {
        "LLAMA_ARG_ALIAS": "m",
        "LLAMA_ARG_CACHE_RAM": "2048",
        "LLAMA_ARG_CTX_SIZE": "8192",
        "LLAMA_ARG_N_PARALLEL": "4",
    }


def test_the_engines_own_names_win_over_the_containers_defaults(run: Run) -> None:
    container = run(LLAMA_ARG_CACHE_RAM="0", LLAMA_ARG_ALIAS="chat-model", LLAMA_ARG_N_GPU_LAYERS="12")
    _, answer = container.request("GET", "/v1/models")
    assert "--n-gpu-layers" not in answer["arguments"]
    assert answer["options"] == {
        "LLAMA_ARG_ALIAS": "chat-model",
        "LLAMA_ARG_CACHE_RAM": "0",
        "LLAMA_ARG_N_GPU_LAYERS": "12",
        "LLAMA_ARG_N_PARALLEL": "8",
    }


def test_the_configuration_is_printed_without_what_it_has_no_use_for(run: Run) -> None:
    container = run(LLAMA_ARG_CTX_SIZE="8192", HF_TOKEN="hf_secret", AWS_SECRET_ACCESS_KEY="secret")
    entry = container.entries[0]
    assert entry["message"] == "configuration"
    assert entry["environment"]["port"] == container.port
    assert entry["environment"]["drain_seconds"] == 30
    assert entry["options"]["LLAMA_ARG_CTX_SIZE"] == "8192"
    assert "secret" not in container.log


def test_without_serve_the_usage_is_told() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "quant_llm_serving", "llama.cpp"],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert finished.returncode == 2
    assert "usage: python3 -m quant_llm_serving" in finished.stderr
