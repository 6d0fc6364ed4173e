"""The ways in which a SageMaker endpoint fails, by boto3's response stream against the embedded AWS."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_llm_tools.bench.asking import Answer
from quant_llm_tools.bench.sagemaker_target import SageMakerTarget, null_client
from tests.integration.hosting.embedded import EmbeddedAws, running


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    directory: Path = tmp_path_factory.mktemp("aws")
    with running(directory) as embedded:
        embedded.deploy("fake")
        yield embedded


def ask(aws: EmbeddedAws, endpoint: str = "fake", *, timeout_s: float = 20, **fields: Any) -> Answer:
    async def run() -> Answer:
        client = null_client(aws.url, timeout_s=timeout_s)
        target = SageMakerTarget(client, endpoint, route="completions", clock=time.perf_counter)
        try:
            return await target.ask(json.dumps(fields).encode())
        finally:
            await target.close()
            client.close()

    return asyncio.run(run())


@pytest.mark.parametrize(("status", "kind"), [(400, "refused"), (429, "throttled"), (500, "server")])
def test_the_containers_own_status_decides(aws: EmbeddedAws, status: int, kind: str) -> None:
    answer = ask(aws, do="fail", status=status)
    assert answer.error == kind
    assert answer.detail is not None
    assert "as asked" in answer.detail


def test_an_endpoint_that_is_not_there_refuses(aws: EmbeddedAws) -> None:
    answer = ask(aws, "nobody", do="fail", status=500)
    assert answer.error == "refused"
    assert answer.detail is not None
    assert "nobody" in answer.detail


def test_a_stream_that_breaks_off_is_an_error_of_the_stream(aws: EmbeddedAws) -> None:
    answer = ask(aws, do="stream", parts=3, pause=0.01, break_at=2)
    assert answer.error == "stream"
    assert answer.detail is not None
    assert "broke off" in answer.detail


def test_an_endpoint_that_says_nothing_in_time_is_given_up(aws: EmbeddedAws) -> None:
    assert ask(aws, timeout_s=0.3, do="sleep", seconds=2).error == "timeout"


def test_nobody_at_the_address_is_a_connection_error() -> None:
    nowhere = EmbeddedAws("http://127.0.0.1:9", Path())
    assert ask(nowhere, do="describe").error == "connection"
