"""A request must be here in time, wherever its sender stops."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from quant_llm_serving.http_server import ClientConnection, Request
from quant_llm_serving.reply import Reply

ARRIVAL = 0.2
PING = b"GET /ping HTTP/1.1\r\n\r\n"


def answer_late(request: Request, reply: Reply) -> None:
    """After the time in which a request has to arrive."""
    asyncio.get_running_loop().call_later(2 * ARRIVAL, reply.send, 200, request.path.encode())


async def exchange(*pieces: bytes, pause: float = 0.0, arrival: float = ARRIVAL) -> bytes:
    """All that is answered until the connection is closed, or until nothing comes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ClientConnection(answer_late, arrival_seconds=arrival), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while data := await asyncio.wait_for(reader.read(65536), 4 * ARRIVAL):
                answer += data
        writer.close()
        return answer


@pytest.mark.parametrize(
    "start", [b"P", b"GET /ping HTTP/1.1\r\nHost: x", b"POST /x HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"]
)
def test_a_request_that_never_ends_is_408_and_the_connection_is_closed(start: bytes) -> None:
    answer = asyncio.run(exchange(start))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Connection: close" in head
    assert json.loads(body)["error"]["message"] == f"the request was not complete after {ARRIVAL:g} s"


def test_a_request_that_waits_behind_a_long_answer_is_not_late() -> None:
    answer = asyncio.run(exchange(PING + PING[:5], PING[5:], pause=ARRIVAL / 2))
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_a_request_that_is_slow_but_in_time_is_answered() -> None:
    """In half of the time: a busy machine may take some of the rest."""
    seconds = 10 * ARRIVAL
    pieces = [bytes([byte]) for byte in PING]
    answer = asyncio.run(exchange(*pieces, pause=seconds / 2 / len(pieces), arrival=seconds))
    assert answer.startswith(b"HTTP/1.1 200 OK")
