"""The server behind the container's entrypoint, with the fake backend: what only whole processes show."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.container.contract.endpoint import wait_until
from tests.container.process import ProcessContainer
from tests.integration.exllama.model_files import write_model, write_safetensors
from tests.integration.exllama.starter import fake

CHAT = {"messages": [{"role": "user", "content": "hello"}]}
LONG = {"prompt": "abc", "max_tokens": 4000, "ignore_eos": True}


class Start(Protocol):
    def __call__(self, **variables: str) -> ProcessContainer: ...


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessContainer]:
    """One healthy container for the tests that leave it as it is."""
    container = fake(tmp_path_factory.mktemp("shared"), {"FAKE_STEP_SECONDS": "0.001"})
    try:
        container.until_healthy()
        yield container
    finally:
        container.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    containers: list[ProcessContainer] = []

    def begin(**variables: str) -> ProcessContainer:
        directory = tmp_path / f"container-{len(containers)}"
        directory.mkdir()
        containers.append(fake(directory, variables))
        return containers[-1]

    yield begin
    for container in containers:
        container.kill()


def engine_metric(container: ProcessContainer, name: str) -> int:
    return int(container.metric(f"exllama_{name}"))


def test_a_chat_and_a_completion(shared: ProcessContainer) -> None:
    status, answer = shared.invoke({**CHAT, "temperature": 0})
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "user\nhello\nassistant\n"
    status, answer = shared.invoke({"prompt": "hé", "temperature": 0})
    assert (status, answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]) == (
        200,
        "hé",
        "stop",
    )
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}


def test_a_stream_says_the_same_as_a_whole_answer(shared: ProcessContainer) -> None:
    body = {"prompt": "some €uros", "seed": 5, "max_tokens": 9, "n": 2}
    whole = [choice["text"] for choice in shared.invoke(body)[1]["choices"]]
    pieces = ["", ""]
    *events, done = [data for _, data in shared.stream(body)]
    for event in map(json.loads, events):
        for choice in event["choices"]:
            pieces[choice["index"]] += choice["text"]
    assert done == "[DONE]"
    assert pieces == whole
    assert whole[0] != whole[1]


def test_a_seed_makes_an_answer_certain(shared: ProcessContainer) -> None:
    body = {"prompt": "abcdefghijklmnopqrstuvwxyz", "max_tokens": 20}

    def say(**more: Any) -> str:
        text: str = shared.invoke({**body, **more})[1]["choices"][0]["text"]
        return text

    assert say(seed=1) == say(seed=1)
    assert len({say(seed=1), say(seed=2), say(), say()}) == 4


def test_json_by_a_schema(shared: ProcessContainer) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"const": True}, "names": {"type": "array", "items": {"type": "string"}}},
        "required": ["ok", "names"],
        "additionalProperties": False,
    }
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    status, answer = shared.invoke({**CHAT, "response_format": response_format})
    assert status == 200
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"ok": True, "names": [""]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**CHAT, "temperature": 3}, "temperature"),
        ({**CHAT, "tools": [{"type": "function"}]}, "tools"),
        ({"messages": [{"role": "pirate", "content": "x"}]}, "messages"),
        ({**CHAT, "response_format": {"type": "xml"}}, "response_format.type"),
        ({"prompt": [10**9]}, "prompt"),
        ({"prompt": "x" * 5000}, "prompt"),
        ({"prompt": "x" * 20_000_000}, "prompt"),
        ({"prompt": ""}, None),
    ],
)
def test_what_is_wrong_is_the_engines_400(shared: ProcessContainer, body: Any, field: str | None) -> None:
    status, answer = shared.invoke(body)
    if field is None:  # the tokenizer begins every prompt with a token, even an empty one
        assert status == 200
    else:
        assert (status, answer["error"]["param"]) == (400, field)


def test_a_failed_answer_is_a_500_and_the_next_one_is_served(shared: ProcessContainer) -> None:
    assert shared.invoke({"prompt": "FAKE-ERROR"})[0] == 500
    assert shared.invoke({"prompt": "x"})[0] == 200


def test_a_caller_who_leaves_frees_the_slot_within_a_second(start: Start) -> None:
    container = start(EXLLAMA_MAX_BATCH_SIZE="2")
    container.until_healthy()
    stream = container.stream(LONG)
    next(stream)
    assert engine_metric(container, "slots_in_use") == 1
    del stream  # closes its connection
    wait_until(lambda: engine_metric(container, "slots_in_use") == 0, seconds=1)
    assert engine_metric(container, "requests_cancelled_total") == 1
    connection = container.connect()  # one who waits for a whole answer as well
    body = json.dumps(LONG).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    wait_until(lambda: engine_metric(container, "slots_in_use") == 1, seconds=2)
    connection.close()
    wait_until(lambda: engine_metric(container, "slots_in_use") == 0, seconds=1)


def test_answers_beyond_the_slots_wait(start: Start) -> None:
    container = start(EXLLAMA_MAX_BATCH_SIZE="2")
    container.until_healthy()
    stream = container.stream({**LONG, "n": 5})
    next(stream)
    assert (engine_metric(container, "slots_in_use"), engine_metric(container, "answers_waiting")) == (2, 3)


def test_a_long_prompt_does_not_hold_up_a_stream(start: Start, tmp_path: Path) -> None:
    model = write_model(tmp_path / "models" / "m", max_position_embeddings=4_000_000)
    container = start(SM_MODEL_DIR=str(model.parent), EXLLAMA_CONTEXT_LENGTH="4000000")
    container.until_healthy()
    stream = container.stream({**LONG, "max_tokens": 300})
    last, _ = next(stream)
    connection = container.connection()
    body = json.dumps({"prompt": "word " * 200_000, "max_tokens": 1})
    connection.request("POST", "/v1/completions", body=body)
    gaps = []
    for moment, _ in stream:
        gaps.append(moment - last)
        last = moment
    answer = connection.getresponse()
    assert json.loads(answer.read())["usage"]["prompt_tokens"] == 1_000_001
    connection.close()
    assert max(gaps) < 0.5, "the event loop stood still while a prompt was tokenized"


def test_ping_and_health_wait_for_the_model(start: Start) -> None:
    container = start(FAKE_LOAD_SECONDS="1")
    wait_until(lambda: container.ping() is not None, seconds=10)
    assert container.ping() == 503
    container.until_healthy()


def test_the_end_of_the_generator_is_the_containers(start: Start) -> None:
    container = start()
    container.until_healthy()
    status, _ = container.invoke({"prompt": "FAKE-CRASH"})
    assert status == 502
    assert container.wait_for_exit(5) == 4
    assert "the fake GPU has fallen off the bus" in container.entries[-1]["message"]


def test_a_step_that_does_not_end_is_the_containers_end(start: Start) -> None:
    container = start(FAKE_STEP_SECONDS="60", SERVING_STALL_SECONDS="1", FAKE_FIRST_STEPS="1")
    container.until_healthy()
    answer = container.post({"prompt": "abc"})
    assert container.wait_for_exit(10) == 4
    assert "the engine began no new step for 1 s" in container.entries[-1]["message"]
    with closing(answer):
        assert answer.getresponse().status == 502


def test_sigterm_lets_what_runs_finish(start: Start) -> None:
    container = start()
    container.until_healthy()
    stream = container.stream({**LONG, "max_tokens": 50})
    next(stream)
    container.terminate()
    *_, last = [data for _, data in stream]
    assert last == "[DONE]"
    assert container.wait_for_exit(5) == 0


def test_sigterm_to_the_engine_ends_it_at_once(start: Start) -> None:
    container = start()
    container.until_healthy()
    stream = container.stream(LONG)
    next(stream)
    started = time.monotonic()
    container.signal_engine(signal.SIGTERM)
    assert container.wait_for_exit(5) == 4
    assert time.monotonic() - started < 3


def test_a_truncated_model_is_exit_code_3_within_a_second(start: Start, tmp_path: Path) -> None:
    model = write_model(tmp_path / "models" / "m")
    (model / "model.safetensors").write_bytes(write_safetensors(tmp_path / "w").read_bytes()[:-1])
    started = time.monotonic()
    container = start(SM_MODEL_DIR=str(model.parent))
    assert container.wait_for_exit(10) == 3
    assert time.monotonic() - started < 2  # most of it is Python's own start on a busy machine
    assert "cut off" in container.entries[-1]["message"]


def test_a_context_that_the_model_has_not_is_exit_code_2(start: Start) -> None:
    container = start(EXLLAMA_CONTEXT_LENGTH="8192")
    assert container.wait_for_exit(10) == 2
    assert "EXLLAMA_CONTEXT_LENGTH must be at most 4096" in container.entries[-1]["message"]


def test_a_tokenizer_that_can_not_be_read_is_exit_code_3(start: Start, tmp_path: Path) -> None:
    model = write_model(tmp_path / "models" / "m")
    (model / "tokenizer.json").write_text("{}", encoding="utf-8")
    container = start(SM_MODEL_DIR=str(model.parent))
    assert container.wait_for_exit(10) == 3
    assert "tokenizer.json can't be read" in container.entries[-1]["message"]
