"""HTTP as it comes off the wire, also from callers who mean harm."""

from __future__ import annotations

import http.client
import json
import re
from contextlib import ExitStack

import pytest

from tests.container.contract.endpoint import Endpoint, wait_until

BODY_LIMIT = 25 * 1024 * 1024
BODY = b'{"prompt": "x", "max_tokens": 1}'
HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def exchange(endpoint: Endpoint, *pieces: bytes) -> bytes:
    """Send the pieces, one packet each, and read until the container closes the connection."""
    with endpoint.connect() as connection:
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


def test_requests_of_one_connection_are_answered_in_turn(endpoint: Endpoint) -> None:
    answer = exchange(endpoint, REQUEST + REQUEST + LAST)  # pipelined
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert len(re.findall(rb'"object": ?"text_completion"', answer)) == 2
    assert answer.endswith(b"{}\n")


def test_a_request_may_come_byte_by_byte(endpoint: Endpoint) -> None:
    pieces = [bytes([byte]) for byte in REQUEST + LAST]
    assert exchange(endpoint, *pieces).count(b"HTTP/1.1 200 OK") == 2


def test_a_chunked_body_is_accepted(endpoint: Endpoint) -> None:
    body = chunked(BODY[:5], BODY[5:])
    answer = exchange(endpoint, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body + LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_a_caller_who_asks_first_is_told_to_go_on(endpoint: Endpoint) -> None:
    with endpoint.connect() as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
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
def test_a_body_whose_end_two_parsers_could_see_differently_is_400(
    endpoint: Endpoint, lengths: bytes
) -> None:
    answer = exchange(endpoint, HEAD + lengths + b"\r\n" + BODY + LAST)
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
def test_what_is_not_http_1_1_is_400(endpoint: Endpoint, data: bytes) -> None:
    answer = exchange(endpoint, data)
    assert status(answer) == 400
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("line", [b"X-Long: ", b""])
def test_a_head_that_is_too_long_is_431(endpoint: Endpoint, line: bytes) -> None:
    start = b"GET /ping HTTP/1.1\r\n" if line else b"GET /"
    assert status(exchange(endpoint, start + line + b"x" * 600_000)) == 431


def test_a_body_that_is_announced_too_long_is_413(endpoint: Endpoint) -> None:
    head = HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1)
    assert status(exchange(endpoint, head)) == 413


def test_a_body_that_turns_out_too_long_is_413_and_the_answer_is_not_lost(endpoint: Endpoint) -> None:
    pieces = [b"100000\r\n" + b"x" * 0x100000 + b"\r\n"] * 26
    answer = exchange(endpoint, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *pieces)
    assert status(answer) == 413
    assert endpoint.ping() == 200


@pytest.mark.parametrize("length", [100_000, 200_000, 300_000, 400_000, BODY_LIMIT])
def test_a_long_body_is_served_and_the_connection_goes_on(endpoint: Endpoint, length: int) -> None:
    start = BODY[:-1] + b', "user": "'  # a field that no engine reads
    body = start + b"x" * (length - len(start) - 2) + b'"}'
    with endpoint.connect() as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
        assert b"text_completion" in answer.read()
        connection.sendall(LAST)
        last = connection.recv(65536)
        assert last.startswith(b"HTTP/1.1 200 OK")
        assert last.endswith(b"{}\n")


def test_callers_who_never_finish_their_request_hold_nobody_up(endpoint: Endpoint) -> None:
    starts = [
        b"",
        b"P",
        HEAD,
        HEAD + b"Content-Length: 32\r\n\r\n{",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n",
    ]
    with ExitStack() as open_connections:
        for start in starts * 10:
            open_connections.enter_context(endpoint.connect()).sendall(start)
        assert status(exchange(endpoint, REQUEST + LAST)) == 200
        assert wait_until(lambda: endpoint.ping() == 200, seconds=2) < 2


@pytest.mark.parametrize(
    "path",
    [
        b"/invocations\0",
        b"/invocations/../v1/models",
        b"//invocations",
        b"/v1/%2e%2e/slots",
        b"*",
        b"http://x/ping",
    ],
)
def test_a_path_that_is_not_ours_is_refused(endpoint: Endpoint, path: bytes) -> None:
    request = b"POST " + path + b" HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    assert status(exchange(endpoint, request)) in (400, 404)
