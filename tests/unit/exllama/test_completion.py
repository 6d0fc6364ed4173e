"""Events to answers: what is written, when, and what ends a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quant_llm_exllama.backend import Event, Finish, Logprob
from quant_llm_exllama.completion import Choice, Completion
from quant_llm_exllama.preparation import Preparation
from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.reply import Reply


class Wire:
    """A caller's connection that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""
        self.writes = 0
        self.closed: bool | None = None

    def write(self, data: bytes) -> None:
        self.data += data
        self.writes += 1

    def finished(self, *, close: bool) -> None:
        self.closed = close

    def reset(self) -> None:
        raise AssertionError("the answer was broken off")

    @property
    def status(self) -> int:
        return int(self.data.split(b" ")[1])

    @property
    def body(self) -> Any:
        return json.loads(self.data.partition(b"\r\n\r\n")[2])

    @property
    def events(self) -> list[Any]:
        lines = [
            line.removeprefix(b"data: ") for line in self.data.splitlines() if line.startswith(b"data: ")
        ]
        return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


class Asked:
    """A request that is being generated."""

    def __init__(
        self, preparation: Preparation, tokenizer: Tokenizer, body: dict[str, Any], *, chat: bool = False
    ):
        self.wire = Wire()
        self.reply = Reply(self.wire, keep_alive=True, chunks=False)
        self.cancelled: list[Choice] = []
        self.ended = 0
        self._tokenizer = tokenizer
        asked = {"messages": [{"role": "user", "content": "x"}]} if chat else {"prompt": "x"}
        prepared = preparation.prepare(json.dumps({**asked, **body}).encode(), 100, chat=chat)
        self.completion = Completion(
            self.reply,
            prepared.writer,
            prepared.choices,
            stream=prepared.parameters.stream,
            include_usage=prepared.parameters.include_usage,
            cancel=self.cancelled.append,
            on_end=lambda _: setattr(self, "ended", self.ended + 1),
        )

    def say(self, text: str, finish: Finish | None = None, *, index: int = 0) -> None:
        """A step that brought `text`."""
        choice = self.completion.choices[index]
        ids = self._tokenizer.encode(text, add_special_tokens=False)
        count = choice.job.top_logprobs
        logprobs = [] if count is None else [Logprob(-0.5, ((token, -0.5),) * count) for token in ids]
        self.completion.take(choice, Event(choice.job, ids, logprobs, finish))
        self.completion.flush()


@pytest.fixture
def ask(preparation: Preparation, tokenizer: Tokenizer) -> Any:
    return lambda body, **options: Asked(preparation, tokenizer, body, **options)


def test_a_whole_chat(ask: Any) -> None:
    asked = ask({}, chat=True)
    asked.say("Hé")
    assert asked.wire.data == b""
    asked.say("llo<|im_end|>", "stop")
    answer = asked.wire.body
    assert (asked.wire.status, answer["object"], answer["model"]) == (200, "chat.completion", "bytes")
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Héllo", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"]["completion_tokens"] == 7  # é is two, and the end is one
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + 7
    assert (asked.ended, asked.cancelled) == (1, [])


def test_a_streamed_chat(ask: Any) -> None:
    asked = ask({"stream": True}, chat=True)
    asked.say("a")
    asked.say('\n"b')
    asked.say("<|im_end|>", "stop")
    *events, done = asked.wire.events
    assert done == "[DONE]"
    assert [event["choices"][0]["delta"] for event in events] == [
        {"role": "assistant", "content": "a"},
        {"content": '\n"b'},
        {},
    ]
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, None, "stop"]
    assert {(event["object"], event["id"]) for event in events} == {
        ("chat.completion.chunk", events[0]["id"])
    }
    assert "usage" not in events[0]
    assert events[-1]["usage"]["completion_tokens"] == 5


def test_a_streamed_completion_with_its_usage(ask: Any) -> None:
    asked = ask({"stream": True, "stream_options": {"include_usage": True}})
    asked.say("ab", "length")
    text, usage, done = asked.wire.events
    assert text["choices"] == [{"index": 0, "text": "ab", "logprobs": None, "finish_reason": "length"}]
    assert text["usage"] is None
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert done == "[DONE]"


def test_a_part_of_a_character_writes_nothing(ask: Any, tokenizer: Tokenizer) -> None:
    asked = ask({"stream": True})
    choice = asked.completion.choices[0]
    first, second = tokenizer.encode("é", add_special_tokens=False)
    asked.completion.take(choice, Event(choice.job, [first]))
    asked.completion.flush()
    assert asked.wire.writes == 0
    asked.completion.take(choice, Event(choice.job, [second]))
    asked.completion.flush()
    assert asked.wire.events[0]["choices"][0]["text"] == "é"


def test_a_stop_string_ends_the_answer_and_its_job(ask: Any) -> None:
    asked = ask({"stop": "END"})
    asked.say("one EN")
    asked.say("D two")
    assert asked.wire.body["choices"][0]["text"] == "one "
    assert asked.wire.body["choices"][0]["finish_reason"] == "stop"
    assert asked.cancelled == [asked.completion.choices[0]]
    asked.say("late", "length")  # a step that ran while it was cancelled
    assert asked.ended == 1


def test_a_stop_string_in_the_last_tokens_cancels_nothing(ask: Any) -> None:
    asked = ask({"stop": ["END"]})
    asked.say("x END", "length")
    assert asked.wire.body["choices"][0]["finish_reason"] == "stop"
    assert asked.cancelled == []


def test_what_may_have_been_a_stop_string_is_said_at_the_end(ask: Any) -> None:
    asked = ask({"stop": ["END"]})
    asked.say("the EN", "length")
    assert asked.wire.body["choices"][0]["text"] == "the EN"


def test_a_finished_choice_says_nothing_more_while_others_go_on(ask: Any) -> None:
    asked = ask({"n": 2, "stop": ["END"], "stream": True})
    asked.say("x END")
    written = asked.wire.writes
    asked.say("late")  # of a step that ran while it was cancelled
    assert asked.wire.writes == written
    assert asked.completion.generated_tokens == 5


def test_all_choices_are_in_one_answer(ask: Any) -> None:
    asked = ask({"n": 2})
    asked.say("b", "stop", index=1)
    assert asked.wire.data == b""
    asked.say("a", "length", index=0)
    assert [(c["index"], c["text"]) for c in asked.wire.body["choices"]] == [(0, "a"), (1, "b")]
    assert asked.wire.body["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}


def test_the_usage_is_in_the_last_event_of_the_last_choice(ask: Any) -> None:
    asked = ask({"n": 2, "stream": True})
    asked.say("b", "stop", index=1)
    asked.say("a", "stop", index=0)
    first, second, _ = asked.wire.events
    assert "usage" not in first
    assert second["usage"]["completion_tokens"] == 2


def test_log_probabilities_of_a_chat(ask: Any) -> None:
    asked = ask({"logprobs": True, "top_logprobs": 1}, chat=True)
    asked.say("aé<|im_end|>", "stop")
    content = asked.wire.body["choices"][0]["logprobs"]["content"]
    a = {"token": "a", "logprob": -0.5, "bytes": [97]}
    assert content[0] == {**a, "top_logprobs": [a]}
    assert [token["bytes"] for token in content[1:]] == [None, None]


def test_log_probabilities_of_a_completion(ask: Any) -> None:
    asked = ask({"logprobs": 1, "stream": True})
    asked.say("ab", "length")
    assert asked.wire.events[0]["choices"][0]["logprobs"] == {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"a": -0.5}, {"b": -0.5}],
        "text_offset": [0, 1],
    }


def test_an_impossible_token_has_openais_lowest_number(ask: Any) -> None:
    asked = ask({"logprobs": 0})
    choice = asked.completion.choices[0]
    asked.completion.take(choice, Event(choice.job, [1], [Logprob(float("-inf"), ())], "length"))
    assert asked.wire.body["choices"][0]["logprobs"]["token_logprobs"] == [-9999.0]


def test_a_caller_who_leaves_cancels_all_that_runs(ask: Any) -> None:
    asked = ask({"n": 2, "stream": True})
    asked.say("b", "stop", index=1)
    asked.reply.lose()
    assert asked.cancelled == [asked.completion.choices[0]]
    assert (asked.ended, asked.completion.cancelled) == (1, True)
    asked.say("late")
    assert asked.ended == 1


def test_a_failure_is_a_500(ask: Any) -> None:
    asked = ask({"n": 2})
    asked.say("", "error")
    assert (asked.wire.status, asked.wire.body["error"]["type"]) == (500, "server_error")
    assert asked.cancelled == asked.completion.choices
    assert asked.ended == 1


def test_a_failure_in_a_stream_is_its_last_event(ask: Any) -> None:
    asked = ask({"stream": True})
    asked.say("a")
    asked.say("", "error")
    assert asked.wire.events[-1]["error"]["type"] == "server_error"
    assert asked.ended == 1
