"""The contract once more, on llama.cpp's own server with a real model."""

from __future__ import annotations

import http.client
import json
import re
import time
from pathlib import Path

import pytest

from tests.container.conftest import Run
from tests.container.container import Container, wait_until

QUESTION = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "temperature": 0,
    "max_tokens": 32,
}


@pytest.fixture
def container(start: Run, smollm2: Path) -> Container:
    container = start(
        engine="llama.cpp",
        SM_MODEL_DIR=str(smollm2.parent),
        N_GPU_LAYERS="999",
        LLAMA_ARG_CTX_SIZE="2048",
        LLAMA_ARG_N_PARALLEL="2",
        LLAMA_ARG_THREADS="1",
    )
    return container.until_healthy()


def processing(container: Container) -> int:
    _, text = container.request("GET", "/metrics")
    match = re.search(r"^llamacpp:requests_processing (\d+)", str(text), re.MULTILINE)
    assert match is not None
    return int(match[1])


def test_llama_cpp_answers_streams_and_frees_its_slots(container: Container) -> None:
    status, answer = container.invoke(QUESTION)
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "The capital of France is Paris."
    assert answer["model"] == "SmolLM2-135M-Instruct.Q4_1"

    connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=30)
    connection.request("POST", "/invocations", body=json.dumps({**QUESTION, "stream": True}))
    lines = [line for line in connection.getresponse().read().split(b"\n\n") if line]
    assert lines[-1] == b"data: [DONE]"
    pieces = [json.loads(line.removeprefix(b"data: "))["choices"][0]["delta"] for line in lines[:-1]]
    assert "".join(piece.get("content") or "" for piece in pieces) == "The capital of France is Paris."
    connection.close()

    for streaming in (True, False):
        endless = {"prompt": "1, 2, 3,", "max_tokens": 900, "ignore_eos": True, "stream": streaming}
        connection = http.client.HTTPConnection("127.0.0.1", container.port, timeout=30)
        connection.request("POST", "/invocations", body=json.dumps(endless))
        wait_until(lambda: processing(container) == 1, seconds=10)
        time.sleep(0.3)
        connection.sock.close()
        if not streaming:
            # llama.cpp looks whether the caller of a whole answer is still there after a second in which no
            # other request was answered; asking for its metrics would put that off.
            time.sleep(1.2)
        wait_until(lambda: processing(container) == 0, seconds=1)

    container.terminate()
    assert container.wait_for_exit(10) == 0


def test_llama_cpp_is_never_5xx_for_a_wrong_request(container: Container) -> None:
    words = {"prompt": "word " * 3000}
    status, answer = container.invoke(words)
    assert (status, answer["error"]["type"]) == (400, "exceed_context_size_error")
    message = {"role": "user", "content": "x"}
    for body in (
        {"prompt": "x", "max_tokens": -5},
        {"prompt": "x", "n": 99},
        {"prompt": [1, 99_999_999]},
        {"prompt": "x", "grammar": "root ::= ("},
        {"messages": [{"role": "user"}]},
        {"messages": [message], "logprobs": "x"},
        {"input": "x"},
    ):
        status, answer = container.invoke(body)
        assert status == 400, (body, answer)
    assert container.ping() == 200
