"""Connections to the engine: kept where that is safe, replaced where the engine has closed them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from quant_llm_serving.proxy import EngineAddress, EngineExchange, EngineUnreachable, call

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST_ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"
OK = (200, b"ok")


class Engine:
    """Answers as it is told: a list for each connection, with what to send for each of its requests."""

    def __init__(self, *connections: list[bytes]) -> None:
        self._scripts = connections
        self.requests: list[int] = []  # the number of the connection that each request came on

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(set(self.requests))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            for answer in self._scripts[number]:
                await reader.readuntil(b"\r\n\r\n")
                self.requests.append(number)
                writer.write(answer)
            if self._scripts[number][-1] in (ANSWER, LAST_ANSWER):
                await reader.read()  # until the other side closes
        writer.close()


def run(engine: Engine, test: Callable[[EngineAddress], Awaitable[None]], kept: int = 4) -> None:
    async def body() -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "engine.sock"
            async with await asyncio.start_unix_server(engine.serve, path):
                address = EngineAddress(path, kept=kept)
                try:
                    await asyncio.wait_for(test(address), 5)
                finally:
                    address.close()
                    await asyncio.sleep(0.05)  # for the engine to see it

    asyncio.run(body())


def test_a_connection_whose_answer_is_whole_is_used_again() -> None:
    engine = Engine([ANSWER, ANSWER, ANSWER])

    async def test(address: EngineAddress) -> None:
        for _ in range(3):
            assert await call(address, "GET", "/health") == OK

    run(engine, test)
    assert engine.requests == [0, 0, 0]


@pytest.mark.parametrize(("kept", "first"), [(0, ANSWER), (4, LAST_ANSWER)])
def test_a_connection_that_is_not_to_be_kept_is_closed(kept: int, first: bytes) -> None:
    engine = Engine([first], [ANSWER])

    async def test(address: EngineAddress) -> None:
        assert await call(address, "GET", "/health") == OK
        assert await call(address, "GET", "/health") == OK

    run(engine, test, kept=kept)
    assert engine.requests == [0, 1]


def test_a_kept_connection_that_the_engine_closes_is_forgotten() -> None:
    engine = Engine([ANSWER, b""], [ANSWER, ANSWER])

    async def test(address: EngineAddress) -> None:
        assert await call(address, "GET", "/health") == OK
        assert await call(address, "GET", "/health") == OK  # closed on this very request: sent again
        assert await call(address, "GET", "/health") == OK

    run(engine, test)
    assert engine.requests == [0, 0, 1, 1]


def test_a_request_is_not_sent_again_once_a_part_of_its_answer_has_come() -> None:
    engine = Engine([ANSWER, HALF], [ANSWER])

    async def test(address: EngineAddress) -> None:
        assert await call(address, "GET", "/health") == OK
        with pytest.raises(EngineUnreachable, match="went away before its answer was whole"):
            await call(address, "POST", "/v1/completions", b"{}")

    run(engine, test)
    assert engine.requests == [0, 0]


@pytest.mark.parametrize("more", [ANSWER, b"more"])
def test_more_than_one_answer_is_none(more: bytes) -> None:
    async def test(address: EngineAddress) -> None:
        with pytest.raises(EngineUnreachable, match="the engine's answer is no HTTP"):
            await call(address, "GET", "/health")

    run(Engine([ANSWER + more], [ANSWER]), test)


def test_a_request_on_a_new_connection_is_not_sent_again() -> None:
    engine = Engine([b""], [ANSWER])

    async def test(address: EngineAddress) -> None:
        with pytest.raises(EngineUnreachable):
            await call(address, "GET", "/health")

    run(engine, test)
    assert engine.requests == [0]


class Ignored:
    """A sink that nobody reads."""

    def start(self, status: int, content_type: str, length: int | None) -> None: ...

    def write(self, data: bytes) -> None: ...

    def flush(self) -> None: ...

    def end(self) -> None: ...

    def fail(self, reason: str) -> None: ...


def test_a_cancelled_request_closes_its_connection() -> None:
    engine = Engine([HALF], [ANSWER])

    async def test(address: EngineAddress) -> None:
        exchange = EngineExchange("POST", "/v1/completions", b"{}", Ignored())
        exchange.start(address)
        await asyncio.sleep(0.05)
        exchange.cancel()
        assert await call(address, "GET", "/health") == OK

    run(engine, test)
    assert engine.requests == [0, 1]
