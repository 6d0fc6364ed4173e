"""HTTP as it comes off the wire, also from callers who mean harm."""

from __future__ import annotations

import http.client
import json

import pytest

from tests.container.container import Container

BODY_LIMIT = 25 * 1024 * 1024
BODY = b'{"prompt": "x"}'
HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
REQUEST = HEAD + b"Content-Length: 15\r\n\r\n" + BODY


def exchange(container: Container, *pieces: bytes) -> bytes:
    """Send the pieces, one packet each, and read until the container closes the connection."""
    with container.connect() as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


LAST = b"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n"


def test_requests_of_one_connection_are_answered_in_turn(shared: Container) -> None:
    answer = exchange(shared, REQUEST + REQUEST + LAST)  # pipelined
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b'"route": "/v1/completions"') == 2
    assert answer.endswith(b"{}\n")


def test_a_request_may_come_byte_by_byte(shared: Container) -> None:
    pieces = [bytes([byte]) for byte in REQUEST + LAST]
    assert exchange(shared, *pieces).count(b"HTTP/1.1 200 OK") == 2


def test_a_chunked_body_is_accepted(shared: Container) -> None:
    body = chunked(BODY[:5], BODY[5:])
    answer = exchange(shared, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_a_caller_who_asks_first_is_told_to_go_on(shared: Container) -> None:
    with shared.connect() as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 15\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert status(connection.recv(65536)) == 200


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 15\r\n",
        b"Content-Length: 15\r\nContent-Length: 16\r\n",
        b"Content-Length: 15, 15\r\n",
        b"Content-Length: +15\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: 15\n",
    ],
)
def test_a_body_whose_end_two_parsers_could_see_differently_is_400(shared: Container, lengths: bytes) -> None:
    answer = exchange(shared, HEAD + lengths + b"\r\n" + BODY + LAST)
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1  # what follows is not taken for a request
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",  # TLS
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nNo colon\r\n\r\n",
        b"CONNECT elsewhere:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_1_1_is_400(shared: Container, data: bytes) -> None:
    answer = exchange(shared, data)
    assert status(answer) == 400
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("line", [b"X-Long: ", b""])
def test_a_head_that_is_too_long_is_431(shared: Container, line: bytes) -> None:
    start = b"GET /ping HTTP/1.1\r\n" if line else b"GET /"
    assert status(exchange(shared, start + line + b"x" * 600_000)) == 431


def test_a_body_that_is_announced_too_long_is_413(shared: Container) -> None:
    head = HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1)
    assert status(exchange(shared, head)) == 413


def test_a_body_that_turns_out_too_long_is_413_and_the_answer_is_not_lost(shared: Container) -> None:
    pieces = [b"100000\r\n" + b"x" * 0x100000 + b"\r\n"] * 26
    answer = exchange(shared, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *pieces)
    assert status(answer) == 413
    assert shared.ping() == 200


@pytest.mark.parametrize("length", [100_000, 200_000, 300_000, 400_000, BODY_LIMIT])
def test_a_long_body_is_served_and_the_connection_goes_on(shared: Container, length: int) -> None:
    body = BODY[:-2] + b"x" * (length - len(BODY)) + BODY[-2:]
    with shared.connect() as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
        assert len(answer.read()) > length  # the stub repeats what it got
        connection.sendall(LAST)
        last = connection.recv(65536)
        assert last.startswith(b"HTTP/1.1 200 OK")
        assert last.endswith(b"{}\n")
