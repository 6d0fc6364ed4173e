"""Streams: passed on token by token. Whoever goes away frees what was worked on for him."""

from __future__ import annotations

import json
import time

import pytest

from tests.container.contract.endpoint import CHAT, LONG, SHORT, Endpoint, wait_until


def test_tokens_arrive_as_they_are_generated(endpoint: Endpoint) -> None:
    arrived = list(endpoint.stream({**LONG, "max_tokens": 50}))
    assert arrived[-1][1] == "[DONE]"
    assert len(arrived) > 40
    moments = [moment for moment, _ in arrived]
    assert len({round(moment, 4) for moment in moments}) > len(moments) / 2  # few came together with others
    texts = [choice["text"] for _, data in arrived[:-1] for choice in json.loads(data)["choices"]]
    assert "".join(texts)


def test_the_pieces_of_a_chat_are_its_answer(endpoint: Endpoint) -> None:
    body = {**CHAT, "max_tokens": 20, "temperature": 0, "seed": 1}
    _, whole = endpoint.invoke(body)
    events = [json.loads(data) for _, data in endpoint.stream(body) if data != "[DONE]"]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert (
        "".join(delta.get("content") or "" for delta in deltas) == whole["choices"][0]["message"]["content"]
    )


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole answer"])
def test_a_caller_who_leaves_frees_his_slot_within_a_second(endpoint: Endpoint, streamed: bool) -> None:
    """All slots are taken by requests of many seconds; another one has to wait for one of them."""
    endpoint.invoke(SHORT)
    started = time.monotonic()
    endpoint.invoke(SHORT)
    alone = time.monotonic() - started
    slots = endpoint.slots()
    connections = [endpoint.post({**LONG, "stream": streamed}) for _ in range(slots)]
    wait_until(lambda: endpoint.running() == slots, seconds=5)
    time.sleep(0.2)
    started = time.monotonic()
    for connection in connections:
        connection.close()
    assert endpoint.invoke(SHORT)[0] == 200
    assert time.monotonic() - started < 1 + alone
    assert endpoint.running() == 0
