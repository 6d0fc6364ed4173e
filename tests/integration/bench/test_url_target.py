"""Streams from a server at a URL, and everything that can go wrong with one."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench.asking import Answer, Form, Route
from quant_llm_tools.bench.environment import served_model
from quant_llm_tools.bench.url_target import ServerUrl, UrlTarget
from tests.integration.bench.fake_engine import TOKENS, FakeEngine


def ask(
    url: str,
    prompts: Sequence[str],
    *,
    route: Route = "completions",
    timeout_s: float = 20,
    at_once: bool = False,
) -> list[Answer]:
    """The answers to prompts, one after the other or all at once."""
    form = Form(route, 16, 1, fixed_length=True)

    async def run() -> list[Answer]:
        headers = {"Authorization": "Bearer key"}
        target = UrlTarget(
            ServerUrl(url), route, timeout_s=timeout_s, clock=time.perf_counter, headers=headers
        )
        try:
            if at_once:
                await target.prepare(len(prompts))
                return list(await asyncio.gather(*(target.ask(form.body(prompt)) for prompt in prompts)))
            return [await target.ask(form.body(prompt)) for prompt in prompts]
        finally:
            await target.close()

    return asyncio.run(run())


def test_a_stream_is_read_to_its_end_with_the_moment_of_each_token(engine: FakeEngine) -> None:
    engine.gap_s = 0.02
    (answer,) = ask(engine.url, ["hello"])
    assert answer.error is None
    assert answer.text == " t0 t1 t2 t3"
    assert (answer.prompt_tokens, answer.output_tokens) == (1, TOKENS)
    moments = [answer.sent, *answer.arrivals, answer.ended]
    assert moments == sorted(moments)
    # A server that sleeps between tokens can't have sent them sooner.
    assert all(later - earlier > 0.01 for earlier, later in itertools.pairwise(answer.arrivals))


def test_a_connection_serves_one_request_after_the_other(engine: FakeEngine) -> None:
    answers = ask(engine.url, ["a", "@status 400", "b"])
    assert [answer.error for answer in answers] == [None, "refused", None]
    assert engine.connections == 1


def test_requests_at_once_have_a_connection_each(engine: FakeEngine) -> None:
    assert all(answer.error is None for answer in ask(engine.url, ["a"] * 5, at_once=True))
    assert engine.connections == 5


@pytest.mark.parametrize(
    ("prompt", "kind", "said"),
    [
        ("@status 429", "throttled", "as asked"),
        ("@status 400", "refused", "400"),
        ("@status 503", "server", "503"),
        ("@break", "connection", "before the answer was whole"),
        ("@garbage", "connection", "no HTTP"),
        ("@hang up", "connection", "before the answer was whole"),
    ],
)
def test_what_goes_wrong_has_its_kind_and_the_next_request_goes_well(
    engine: FakeEngine, prompt: str, kind: str, said: str
) -> None:
    failed, after = ask(engine.url, [prompt, "again"])
    assert failed.error == kind
    assert failed.detail is not None
    assert said in failed.detail
    assert len(failed.arrivals) == (2 if prompt == "@break" else 0)
    assert after.error is None


def test_an_answer_that_takes_too_long_is_given_up(engine: FakeEngine) -> None:
    failed, after = ask(engine.url, ["@slow", "again"], timeout_s=0.5)
    assert failed.error == "timeout"
    assert len(failed.arrivals) == 1
    assert after.error is None


def test_a_server_that_is_not_there_is_a_connection_error(engine: FakeEngine) -> None:
    engine.server_close()
    (answer,) = ask(engine.url, ["hello"])
    assert answer.error == "connection"


@pytest.mark.parametrize(
    ("suffix", "route", "path"),
    [
        ("", "completions", "/v1/completions"),
        ("/v1/", "chat", "/v1/chat/completions"),
        ("/invocations", "completions", "/invocations"),
        ("/openai/v1", "completions", "/openai/v1/completions"),
    ],
)
def test_the_path_is_that_of_the_route(engine: FakeEngine, suffix: str, route: Route, path: str) -> None:
    assert ask(engine.url + suffix, ["hello"], route=route)[0].error is None
    ((asked, headers, _),) = engine.asked
    assert asked == path
    assert headers["Authorization"] == "Bearer key"
    assert headers["Host"] == engine.url.removeprefix("http://")


def test_the_servers_model_is_found(engine: FakeEngine) -> None:
    assert served_model(ServerUrl(engine.url)) == "fake"
    assert served_model(ServerUrl(f"{engine.url}/invocations")) is None
    engine.server_close()
    assert served_model(ServerUrl(engine.url)) is None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "http://",
        "http://user:secret@host",
        "http://user:secret@[::1",
        "http://user:secret@a\u2100b",
        "http://host/?key=secret",
        "http://host:x",
    ],
)
def test_a_url_that_is_none_is_refused_and_a_secret_in_it_not_repeated(url: str) -> None:
    with pytest.raises(QuantLlmError, match="expected http") as error:
        ServerUrl(url)
    assert "secret" not in str(error.value)
