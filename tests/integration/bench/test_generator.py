"""The generator's own limit, by both ways to ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from quant_llm_tools.bench import generator
from quant_llm_tools.bench.asking import Form, Target
from quant_llm_tools.bench.null_server import PIECES, NullServer
from quant_llm_tools.bench.sagemaker_target import SageMakerTarget, null_client
from quant_llm_tools.bench.url_target import ServerUrl, UrlTarget

BODY = Form("completions", 16, 1, fixed_length=True).body("hello")


def by_http(url: str) -> Target:
    return UrlTarget(ServerUrl(url), "completions", timeout_s=20, clock=time.perf_counter)


def by_boto3(url: str) -> Target:
    client = null_client(url, timeout_s=20)
    return SageMakerTarget(client, "null", route="completions", clock=time.perf_counter)


@pytest.mark.parametrize("make", [by_http, by_boto3])
def test_the_null_server_speaks_as_an_engine_does(make: Callable[[str], Target]) -> None:
    async def run() -> None:
        async with NullServer() as server:
            target = make(server.url)
            answers = await asyncio.gather(*(target.ask(BODY) for _ in range(3)))
            await target.close()
        for answer in answers:
            assert answer.error is None
            assert len(answer.arrivals) == PIECES
            assert (answer.prompt_tokens, answer.output_tokens) == (100, PIECES)

    asyncio.run(run())


@pytest.mark.parametrize("make", [by_http, by_boto3])
def test_the_ceiling_is_measured_with_the_client_that_measures(
    make: Callable[[str], Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "SECONDS", 0.2)
    rate = asyncio.run(generator.ceiling(make, BODY, 4, time.perf_counter))
    # Each stream has an answer of 128 pieces at least; nobody reads a million a second in Python.
    assert 1 < rate < 1_000_000
