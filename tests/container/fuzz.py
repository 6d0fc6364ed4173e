"""Requests that nobody means well: `python -m tests.container.fuzz --requests 10000 --seed 0`.

Half of them are made by schemathesis from the container's own openapi.json, with valid and with invalid
bodies, and their answers are compared with that description. The others are bytes on a socket: requests that
are mutated, cut off, badly chunked, pipelined, or sent slowly. No answer may be a 5xx, and nothing may hang.
Without `--url` a container in front of the stub engine is started for it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.container import process
from tests.container.contract.endpoint import Endpoint

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_SILENCE = 0.05
_HANG = 5.0
_PATHS = (
    b"/invocations",
    b"/v1/completions",
    b"/openai/v1/chat/completions",
    b"/ping",
    b"/metrics",
    b"/x\0y",
    b"*",
)
_BODIES = (
    b'{"prompt": "x"}',
    b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}',
    b'{"prompt": "\\ud800", "stop": ["\\u0000"]}',
    b'{"prompt": "\xff\xfe"}',
    b'{"prompt": "x", "max_tokens": 1e999, "temperature": NaN}',
    b'{"prompt": "x", "prompt": {"a": []}}',
    b'{"a": ' * 5000,
    b"[" * 200_000,
    b"\0" * 64,
    b"",
)
_HEADERS = (
    b"Content-Type: application/json",
    b"Content-Type: \xff\xfe",
    b"X-Amzn-SageMaker-Custom-Attributes: route=/v1/completions",
    b"X-Amzn-SageMaker-Custom-Attributes: route=\x80",
    b"X-Amzn-SageMaker-Inference-Id: " + b"i" * 5000,
    b"X-Amzn-SageMaker-Inference-Id: a\tb",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Content-Length: 7",
    b"Content-Length: -1",
    b"Upgrade: h2c",
    b"Accept: */*\r\n folded: yes",
    b"X-Long: " + b"x" * 70_000,
    b": no name",
)


class Found(Exception):
    """An answer or a silence that must not be."""


def raw_request(chance: random.Random) -> list[bytes]:
    """The pieces of something like a request, or of several."""
    requests = [_request(chance) for _ in range(chance.choice((1, 1, 1, 2, 5)))]
    data = b"".join(requests)
    if chance.random() < 0.4:
        data = _mutated(chance, data)
    if chance.random() < 0.2:
        data = data[: chance.randrange(len(data) + 1)]
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 1, 3))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _request(chance: random.Random) -> bytes:
    body = chance.choice(_BODIES[: chance.choice((2, len(_BODIES)))])
    lines = [
        b"%b %b %b"
        % (
            chance.choice((b"POST", b"POST", b"POST", b"GET", b"HEAD", b"PRI", b"post")),
            chance.choice(_PATHS),
            chance.choice((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0")),
        ),
        b"Host: x",
        *chance.sample(_HEADERS, chance.choice((0, 0, 1, 3))),
    ]
    if chance.random() < 0.3:
        lines.append(b"Transfer-Encoding: chunked")
        size = chance.choice(
            (b"%x" % len(body), b"%x" % (len(body) + 1), b"fffffffffffffffff", b"-1", b"1;x=y")
        )
        body = size + b"\r\n" + body + b"\r\n0\r\n\r\n"
    else:
        lines.append(b"Content-Length: %d" % (len(body) + chance.choice((0, 0, 0, 0, 1, -1))))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _mutated(chance: random.Random, data: bytes) -> bytes:
    """A few bytes changed, doubled or left out, most of them near the start."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 8))):
        position = min(int(chance.expovariate(1 / 80)), len(changed) - 1)
        if position < 0:
            break
        what = chance.random()
        if what < 0.5:
            changed[position] = chance.randrange(256)
        elif what < 0.75:
            del changed[position]
        else:
            changed[position:position] = changed[position : position + 20]
    return bytes(changed)


def exchange(endpoint: Endpoint, pieces: list[bytes]) -> list[int]:
    """The statuses that `pieces` are answered with. Raises Found for a 5xx and for a connection left open."""
    answer = b""
    with endpoint.connect() as connection, suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.001 if len(pieces) > 1 else 0)
        answer = _read(connection, _SILENCE, endless=False)
        connection.shutdown(socket.SHUT_WR)
        answer += _read(connection, _HANG, endless=True)
    statuses = [int(status) for status in _STATUS_LINE.findall(answer)]
    if any(status >= 500 for status in statuses):
        raise Found(f"{statuses} for {pieces!r}: {answer[-500:]!r}")
    return statuses


def _read(connection: socket.socket, seconds: float, *, endless: bool) -> bytes:
    """All that comes until the other side closes, or until nothing came for some seconds."""
    connection.settimeout(seconds)
    answer = b""
    try:
        while data := connection.recv(1 << 16):
            answer += data
    except TimeoutError:
        if endless:
            raise Found(f"the connection was still open after {seconds} s") from None
    return answer


def raw(endpoint: Endpoint, requests: int, seed: int) -> Counter[int]:
    """Send so many; returns how often each status came."""
    chance = random.Random(seed)  # noqa: S311 - the same requests again, for the same seed
    statuses: Counter[int] = Counter()
    for _ in range(requests):
        statuses.update(exchange(endpoint, raw_request(chance)))
    return statuses


def described(endpoint: Endpoint, requests: int, seed: int) -> Counter[int]:
    """Send what schemathesis makes of the container's own description, and hold the answers against it."""
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    description = schemathesis.openapi.from_dict(endpoint.request("GET", "/openapi.json")[1])
    operations: list[Any] = []
    for result in description.get_all_operations():
        assert isinstance(result, Ok), result
        operations.append(result.ok())
    posts = [operation for operation in operations if operation.method == "post"]
    gets = [operation for operation in operations if operation.method != "post"]
    statuses: Counter[int] = Counter()

    def send(case: Any) -> None:
        answer = case.call(base_url=endpoint.base_url, timeout=30)
        case.validate_response(answer, checks=checks)
        statuses[answer.status_code] += 1

    def some(operation: Any, mode: GenerationMode, examples: int) -> None:
        limits = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        cases: Any = given(operation.as_strategy(generation_mode=mode))
        seeded(seed)(limits(cases(send)))()

    for operation in gets:
        some(operation, GenerationMode.POSITIVE, 1)
    each = max(1, requests // (2 * len(posts)))
    for operation in posts:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            some(operation, mode, each)
    return statuses


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.container.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--url", help="a container that runs; default: one in front of the stub engine")
    options = parser.parse_args()
    if options.url:
        _fuzz(Endpoint(options.url), options.requests, options.seed)
        return 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        container = process.stub(Path(directory), {"STUB_INTERVAL": "0"})
        try:
            container.until_healthy()
            _fuzz(container, options.requests, options.seed)
        finally:
            container.kill()
    return 0


def _fuzz(endpoint: Endpoint, requests: int, seed: int) -> None:
    for kind, send in (("raw", raw), ("described", described)):
        started = time.monotonic()
        statuses = send(endpoint, requests // 2, seed)
        seconds = time.monotonic() - started
        answers = json.dumps(dict(sorted(statuses.items())))
        print(f"{kind}: {requests // 2} requests in {seconds:.0f} s, answers by status {answers}", flush=True)
    if endpoint.ping() != 200:
        raise Found("the container is not healthy afterwards")


if __name__ == "__main__":
    sys.exit(main())
