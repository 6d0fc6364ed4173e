"""Tokens in and out, told from the end of an answer."""

from __future__ import annotations

import json

import pytest

from quant_llm_serving.forwarding import token_counts

USAGE = {"usage": {"completion_tokens": 7, "prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}}
TIMINGS = {"timings": {"cache_n": 3, "prompt_n": 2, "prompt_ms": 1.5, "predicted_n": 9, "predicted_ms": 3.0}}


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (json.dumps(USAGE), (5, 7)),
        (f"data: {json.dumps(TIMINGS)}\n\ndata: [DONE]\n\n", (5, 9)),
        (f"data: {json.dumps({**TIMINGS, **USAGE})}\n\n", (5, 7)),
        (json.dumps({"data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}), (8, None)),
        ('data: {"usage": {"prompt_tokens": 1}}\n\ndata: {"usage": {"prompt_tokens": 2}}\n\n', (2, None)),
        (json.dumps({"choices": [{"text": json.dumps(USAGE)}]}), (None, None)),  # said by the model
        ('{"usage": {"prompt_tokens": null}}', (None, None)),
        ('"prompt_tokens": 99999999999999999999999999', (None, None)),
        ("", (None, None)),
        (json.dumps({"usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}}), (5, 7)),
    ],
)
def test_the_end_of_an_answer_tells(answer: str, counts: tuple[int | None, int | None]) -> None:
    assert token_counts(answer.encode()) == counts
