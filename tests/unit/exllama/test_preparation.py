"""From bodies to jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quant_llm_exllama.backend import Job
from quant_llm_exllama.preparation import ContextExceeded, Preparation, refusal
from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.routes import BadRequest

CONTEXT = 64


def jobs(preparation: Preparation, body: dict[str, Any], *, chat: bool = False) -> list[Job]:
    prepared = preparation.prepare(json.dumps(body).encode(), CONTEXT, chat=chat)
    assert [choice.index for choice in prepared.choices] == list(range(len(prepared.choices)))
    return [choice.job for choice in prepared.choices]


def test_a_prompt_begins_as_the_tokenizer_says_and_has_the_rest_of_the_context(
    preparation: Preparation, tokenizer: Tokenizer
) -> None:
    (job,) = jobs(preparation, {"prompt": "abc"})
    assert job.prompt == tokenizer.encode("<|begin|>abc", add_special_tokens=False)
    assert job.max_tokens == CONTEXT - 4
    assert job.stop_tokens == tokenizer.stop_tokens


def test_token_ids_are_taken_as_they_are(preparation: Preparation) -> None:
    (job,) = jobs(preparation, {"prompt": [5, 6], "max_tokens": 3})
    assert (job.prompt, job.max_tokens) == ([5, 6], 3)


def test_a_chat_begins_as_the_template_says(preparation: Preparation, tokenizer: Tokenizer) -> None:
    (job,) = jobs(preparation, {"messages": [{"role": "user", "content": "x"}]}, chat=True)
    text = "<|begin|><|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
    assert job.prompt == tokenizer.encode(text, add_special_tokens=False)


def test_more_tokens_than_there_is_room_for_are_cut(preparation: Preparation) -> None:
    assert jobs(preparation, {"prompt": [5], "max_tokens": 1000})[0].max_tokens == CONTEXT - 1


def test_each_choice_of_each_prompt_is_a_job_with_a_seed_of_its_own(preparation: Preparation) -> None:
    made = jobs(preparation, {"prompt": [[1], [2]], "n": 2, "seed": 10})
    assert [(job.prompt, job.sampling.seed) for job in made] == [([1], 10), ([1], 11), ([2], 10), ([2], 11)]
    assert [job.sampling.seed for job in jobs(preparation, {"prompt": "x", "n": 2})] == [None, None]


def test_each_choice_has_a_grammar_of_its_own(preparation: Preparation) -> None:
    first, second = jobs(preparation, {"prompt": "x", "n": 2, "response_format": {"type": "json_object"}})
    assert first.grammar is not None
    assert second.grammar is not None
    first.grammar.consume_tokens([*first.grammar.compute_bitmask()][:0])
    assert first.grammar is not second.grammar


def test_no_end_ends_an_answer_that_ignores_it(preparation: Preparation) -> None:
    assert jobs(preparation, {"prompt": "x", "ignore_eos": True})[0].stop_tokens == frozenset()


@pytest.mark.parametrize("tokens", [CONTEXT, CONTEXT + 1])
def test_a_prompt_without_room_for_an_answer_is_refused_as_llama_cpp_does(
    preparation: Preparation, tokens: int
) -> None:
    assert jobs(preparation, {"prompt": [1] * (CONTEXT - 1)})[0].max_tokens == 1
    with pytest.raises(ContextExceeded) as caught:
        jobs(preparation, {"prompt": [1] * tokens})
    error = json.loads(refusal(caught.value))["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "exceed_context_size_error",
        "prompt",
        "context_length_exceeded",
    )
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (tokens, CONTEXT)


def test_a_text_that_can_not_fit_is_refused_unread(preparation: Preparation, tokenizer: Tokenizer) -> None:
    with pytest.raises(ContextExceeded) as caught:
        jobs(preparation, {"prompt": "x" * tokenizer.longest * CONTEXT})
    assert caught.value.prompt_tokens == CONTEXT  # by its length alone; they would be many more
    assert len(jobs(preparation, {"prompt": "<|begin|>" * (CONTEXT - 2)})[0].prompt) == CONTEXT - 1


@pytest.mark.parametrize("chat", [True, False])
def test_half_of_a_character_is_no_text(preparation: Preparation, chat: bool) -> None:
    body = {"messages": [{"role": "user", "content": "a\ud83d"}], "prompt": ["a", "\ud800"]}
    with pytest.raises(BadRequest, match="surrogates not allowed") as caught:
        jobs(preparation, body, chat=chat)
    assert caught.value.field == ("messages" if chat else "prompt")
    # What nobody has to write down may be anything.
    assert jobs(preparation, {"prompt": "x", "stop": "\ud83d", "user": "\ud83d"})


def test_other_errors_have_openais_form(preparation: Preparation) -> None:
    with pytest.raises(BadRequest) as caught:
        jobs(preparation, {"prompt": "x", "n": "2"})
    error = json.loads(refusal(caught.value))["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "n", None)


def test_too_many_answers_are_refused(preparation: Preparation) -> None:
    with pytest.raises(BadRequest, match="at most 128"):
        jobs(preparation, {"prompt": ["x"] * 65, "n": 2})
