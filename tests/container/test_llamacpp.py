"""What llama.cpp's own server does behind the adapter, with a real model.

The contract itself runs on it with `CONTRACT_STARTER=tests.container.process:llama_cpp`, see `contract/`.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from quant_llm_serving.assembly import can_be_assembled
from quant_llm_serving.routes import CHAT, COMPLETIONS, RESPONSES, Call
from tests.container import process
from tests.container.contract.endpoint import LONG, SHORT, wait_until
from tests.container.gguf_files import write_lora
from tests.container.process import ProcessContainer

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
QUESTION: dict[str, Any] = {
    "messages": [SYSTEM, {"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
    "max_tokens": 32,
}
ANSWER = "The capital of France is Paris."
SENTENCE = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"schema": CITY}}


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessContainer]:
    container = process.llama_cpp(tmp_path_factory.mktemp("llama"), {"N_GPU_LAYERS": "999"})
    try:
        container.until_healthy()
        yield container
    finally:
        container.close()
        container.kill()


def ask_engine(container: ProcessContainer, path: str, body: object) -> tuple[int, Any]:
    """The answer without the adapter."""
    (address,) = container.scratch.glob("*/engine.sock")
    with closing(http.client.HTTPConnection("engine")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(address))
        connection.request("POST", path, body=json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def processing(container: ProcessContainer) -> int:
    """How many slots are at work, by llama.cpp's own count."""
    _, text = container.request("GET", "/metrics")
    match = re.search(r"^llamacpp:requests_processing (\d+)", str(text), re.MULTILINE)
    assert match is not None
    return int(match[1])


def test_it_answers_whole_and_in_pieces(container: ProcessContainer) -> None:
    status, answer = container.invoke(QUESTION)
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == ANSWER
    assert answer["model"] == "SmolLM2-135M-Instruct.Q4_1"
    events = [json.loads(data) for _, data in container.stream(QUESTION) if data != "[DONE]"]
    pieces = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
    assert "".join(pieces) == ANSWER


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, QUESTION),
        (CHAT, {**QUESTION, "max_tokens": 1}),
        (CHAT, {**QUESTION, "stop": ["France"]}),
        (CHAT, {**QUESTION, "response_format": JSON_SCHEMA}),
        (CHAT, {**QUESTION, "return_progress": True, "timings_per_token": True}),
        (CHAT, {"messages": [{"role": "user", "content": "Write 😀 and 你好"}], "max_tokens": 30}),
        (COMPLETIONS, SENTENCE),
        (COMPLETIONS, {**SENTENCE, "max_tokens": 0}),
        (COMPLETIONS, {**SENTENCE, "prompt": "é ü ñ", "temperature": 1.5}),
        (COMPLETIONS, {"prompt": "word " * 3000}),
        (COMPLETIONS, {**SENTENCE, "grammar": "root ::= ("}),
    ],
)
def test_the_assembled_answer_is_the_one_that_the_engine_gives_itself(
    container: ProcessContainer, path: str, body: dict[str, Any]
) -> None:
    body = {"seed": 1, "cache_prompt": False, **body}
    assert can_be_assembled(Call(path, body))
    status, expected = ask_engine(container, path, body)
    got_status, got = container.request("POST", path, body)
    assert set(got) == set(expected)
    for answer in (got, expected):
        for name in ("id", "created", "timings"):  # no two answers share them
            answer.pop(name, None)
    assert (got_status, got) == (status, expected)


SEVERAL: list[tuple[str, dict[str, Any], int, int]] = [  # with the tokens of the prompts and of the answers
    (CHAT, {**QUESTION, "max_tokens": 3, "n": 2}, 27, 6),
    (COMPLETIONS, {**SENTENCE, "max_tokens": 3, "n": 2}, 5, 6),
    (COMPLETIONS, {**SENTENCE, "max_tokens": 3, "prompt": ["The capital of", "Once", [1, 2, 3]]}, 7, 9),
    (COMPLETIONS, {**SENTENCE, "max_tokens": 3, "prompt": ["The capital of", "Once"], "n": 2}, 4, 12),
]


@pytest.mark.parametrize(("path", "body", "read", "generated"), SEVERAL)
def test_several_answers_are_counted_together(
    container: ProcessContainer, path: str, body: dict[str, Any], read: int, generated: int
) -> None:
    usage = {"prompt_tokens": read, "completion_tokens": generated, "total_tokens": read + generated}
    _, expected = ask_engine(container, path, body)
    _, got = container.request("POST", path, body)
    assert got["choices"] == expected["choices"]
    assert got["usage"] == usage
    for told in (True, False):
        streamed = {**body, "stream": True, "stream_options": {"include_usage": told}}
        *events, done = [data for _, data in container.stream(streamed)]
        found = [json.loads(data) for data in events]
        assert done == "[DONE]"
        assert [event["usage"] for event in found if "usage" in event] == [usage] * told
        pieces = dict.fromkeys(range(len(expected["choices"])), "")
        for choice in (choice for event in found for choice in event["choices"]):
            pieces[choice["index"]] += choice.get("text") or choice.get("delta", {}).get("content") or ""
        texts = [choice.get("text", choice.get("message", {}).get("content")) for choice in got["choices"]]
        assert list(pieces.values()) == texts
        wait_until(lambda: container.entries[-1].get("generated_tokens") == generated, seconds=2)
        assert container.entries[-1]["prompt_tokens"] == read


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole answer"])
def test_a_slot_is_free_within_a_second_of_its_caller_leaving_though_others_go_on(
    container: ProcessContainer, streamed: bool
) -> None:
    staying = container.stream(LONG)
    next(staying)
    leaving = container.post({**LONG, "stream": streamed})
    wait_until(lambda: processing(container) == 2, seconds=10)
    time.sleep(0.3)
    leaving.close()
    wait_until(lambda: processing(container) == 1, seconds=1)
    staying.close()  # type: ignore[attr-defined] # a generator, told as what its users need
    wait_until(lambda: processing(container) == 0, seconds=1)


def test_a_wrong_request_is_never_5xx(container: ProcessContainer) -> None:
    status, answer = container.invoke({"prompt": "word " * 3000})
    assert (status, answer["error"]["type"]) == (400, "exceed_context_size_error")
    message = {"role": "user", "content": "x"}
    calls = [{"function": {"name": 5, "arguments": ""}, "type": "function"}]
    for body in (
        {"prompt": "x", "max_tokens": -5},
        {"prompt": "x", "n": 99},
        {"prompt": [1, 99_999_999]},
        {"prompt": "x", "grammar": "root ::= ("},
        {"messages": [{"role": "user"}]},
        {"messages": [message, {"role": "assistant", "tool_calls": calls}]},
        {"messages": [message, {"role": "assistant", "tool_calls": [5]}]},
        {"messages": [message], "logprobs": "x"},
        {"messages": [message], "reasoning_format": "x"},
        {"messages": [message], "json_schema": {"type": "object"}, "grammar": 'root ::= "a"'},
        {"input": "x"},
    ):
        status, answer = container.invoke(body)
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error"), (body, answer)
    assert container.ping() == 200


def test_a_grammar_that_is_never_done_ends_the_container_and_long_answers_do_not(tmp_path: Path) -> None:
    container = process.llama_cpp(tmp_path, {"SERVING_STALL_SECONDS": "2"})
    try:
        container.until_healthy()
        began = time.monotonic()
        while time.monotonic() < began + 3:
            assert container.invoke({"prompt": "Once", "max_tokens": 200, "ignore_eos": True})[0] == 200
        assert container.ping() == 200
        schema = {"type": "string", "pattern": "^((a?){100}){100}$"}
        json_schema = {"type": "json_schema", "json_schema": {"schema": schema}}
        answer = container.post({**QUESTION, "response_format": json_schema})
        assert container.wait_for_exit(20) == 4
        assert "began no new step for 2 s" in container.entries[-1]["message"]
        with closing(answer):
            assert answer.getresponse().status == 502
    finally:
        container.kill()


def test_an_image_that_the_model_can_not_see_is_the_callers_mistake(container: ProcessContainer) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    output = {"type": "function_call_output", "call_id": "1", "output": [image]}
    for given in ({"role": "user", "content": [image]}, output):
        status, answer = container.request("POST", RESPONSES, {"input": [given], "max_output_tokens": 2})
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error"), answer
        assert answer["error"]["message"].startswith("image input is not supported")


def test_a_grammar_and_a_json_schema_hold(container: ProcessContainer) -> None:
    _, answer = container.invoke({**QUESTION, "grammar": 'root ::= "yes" | "no"'})
    assert answer["choices"][0]["message"]["content"] in ("yes", "no")
    _, answer = container.invoke({**QUESTION, "response_format": JSON_SCHEMA})
    assert set(json.loads(answer["choices"][0]["message"]["content"])) == {"city"}


def test_a_prompt_seen_before_comes_from_the_cache(container: ProcessContainer) -> None:
    body = {**SENTENCE, "prompt": "Once upon a time there was a king who had three daughters. " * 20}
    _, first = container.invoke(body)
    _, second = container.invoke(body)
    tokens = second["usage"]["prompt_tokens"]
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > tokens * 0.9
    assert second["choices"] == first["choices"]


def test_adapters_and_a_draft_model_beside_the_model_are_used(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "base.gguf").symlink_to(process.smollm2())
    write_lora(model / "adapter.gguf", width=576)
    container = process.llama_cpp(
        tmp_path,
        {
            "SM_MODEL_DIR": str(model),
            "MODEL": "base.gguf",
            "SERVING_LORA": "adapter.gguf",
            "LLAMA_ARG_SPEC_DRAFT_MODEL": "base.gguf",
            "LLAMA_ARG_SPEC_TYPE": "draft-simple",
        },
    )
    try:
        container.until_healthy()
        _, adapted = container.invoke(SENTENCE)
        _, plain = container.invoke({**SENTENCE, "lora": [{"id": 0, "scale": 0}]})
    finally:
        container.kill()
    assert plain["choices"][0]["text"].startswith(" Paris")
    assert adapted["choices"][0]["text"] != plain["choices"][0]["text"]
    # The model as its own draft guesses right until an adapter, which the draft has not, changes its mind.
    assert plain["timings"]["draft_n_accepted"] == plain["timings"]["draft_n"] > 0


def test_each_request_is_answered_by_the_adapter_that_it_names(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "base.gguf").symlink_to(process.smollm2())
    write_lora(model / "one.gguf", width=576)
    write_lora(model / "two.gguf", width=576, seed=1)
    variables = {
        "SM_MODEL_DIR": str(model),
        "MODEL": "base.gguf",
        "SERVING_LORA": "one=one.gguf,two=two.gguf",
        "LLAMA_ARG_N_PARALLEL": "1",  # each request takes the slot of the one before
    }
    container = process.llama_cpp(tmp_path, variables)
    try:
        container.until_healthy()
        _, listed = container.request("GET", "/v1/models")
        assert [entry["id"] for entry in listed["data"]] == ["base", "one", "two"]

        def text(name: str, **more: object) -> str:
            status, answer = container.invoke({**SENTENCE, "model": name, **more})
            assert status == 200
            found: str = answer["choices"][0]["text"]
            return found

        alone = {name: text(name, cache_prompt=False) for name in ("base", "one", "two")}
        assert alone["base"].startswith(" Paris")
        assert len(set(alone.values())) == 3
        for name in ("one", "base", "two", "base", "one", "two", "one"):
            assert text(name) == alone[name], name
        # What the base model made of a prompt is not taken for the adapter's when the prompt comes back.
        story = {"prompt": "Once upon a time there was a king who had three daughters. " * 8}
        fresh = text("one", **story, cache_prompt=False)
        text("base", **story)
        assert text("one", **story) == fresh
        text("base", **story)
        text("one", prompt="The sea was calm, and nobody knew where the ships had gone. " * 8)
        assert text("one", **story) == fresh
        chats = [container.invoke({**QUESTION, "model": name})[1]["choices"] for name in ("base", "one")]
        assert chats[0][0]["message"]["content"] == ANSWER
        assert chats[1][0]["message"]["content"] != ANSWER
        responses = [
            container.request("POST", "/v1/responses", {"input": "What is the capital of France?", **asked})[
                1
            ]
            for asked in (
                {"temperature": 0, "max_output_tokens": 16, "model": name} for name in ("base", "one")
            )
        ]
        assert responses[0]["output"][0]["content"] != responses[1]["output"][0]["content"]
    finally:
        container.kill()


def test_a_model_can_embed(tmp_path: Path) -> None:
    container = process.llama_cpp(tmp_path, {"LLAMA_ARG_EMBEDDINGS": "1", "LLAMA_ARG_POOLING": "mean"})
    try:
        container.until_healthy()
        status, answer = container.invoke({"input": ["one", "two"]})
        assert status == 200
        assert [len(item["embedding"]) for item in answer["data"]] == [576, 576]
        assert container.invoke(SHORT)[0] == 400
    finally:
        container.kill()
