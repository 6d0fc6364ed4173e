"""Tokens a second and time to first token: `python3 -m benchmarks.gpu.throughput`.

The same requests go through the container's port and straight to its engine's socket, in turns, to the same
processes: the difference is the adapter's share.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.gpu.machine import gpu_machine
from benchmarks.gpu.serving import options, serving

PROMPT = "Write a story about a lighthouse keeper who finds a message in a bottle. Number {}."

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass(frozen=True)
class Load:
    """`streams` requests at once, each of `tokens`, `rounds` times."""

    streams: int
    tokens: int
    rounds: int


LOADS = (Load(1, 128, 3), Load(32, 128, 3))


@dataclass(frozen=True)
class Stream:
    """One answer: its tokens, and when its first and its last text came, in seconds after the request."""

    tokens: int
    first: float
    last: float

    @property
    def rate(self) -> float:
        """Tokens a second after the first text; over all of the time if the whole text came with the end."""
        if self.last - self.first < 0.01 * self.last:  # a random model's tokens may be halves of characters
            return self.tokens / self.last
        return (self.tokens - 1) / (self.last - self.first)


async def stream(connect: Connect, number: int, tokens: int) -> Stream:
    """Ask for one completion as a stream, and read it all."""
    body = json.dumps(
        {
            "prompt": PROMPT.format(number),
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await connect()
    started = time.perf_counter()
    writer.write(head.encode() + body)
    first = last = 0.0
    usage: dict[str, Any] = {}
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"got {status!r}: {await reader.read()!r}")
    while line := await reader.readline():
        if not line.startswith(b"data: {"):
            continue
        last = time.perf_counter() - started
        first = first or last
        if b'"usage"' in line:
            usage = json.loads(line[6:]).get("usage") or usage
    writer.close()
    return Stream(int(usage["completion_tokens"]), first, last)


async def run(connect: Connect, streams: int, tokens: int, offset: int) -> dict[str, float]:
    """`streams` answers at once: tokens a second of all together and of each, and the time to first text."""
    started = time.perf_counter()
    answers = await asyncio.gather(*(stream(connect, offset + number, tokens) for number in range(streams)))
    seconds = time.perf_counter() - started
    firsts = sorted(answer.first for answer in answers)
    return {
        "tokens_per_s": sum(answer.tokens for answer in answers) / seconds,
        "tokens_per_s_each": statistics.median(answer.rate for answer in answers),
        "ttft_ms": statistics.median(firsts) * 1e3,
        "ttft_ms_last": firsts[-1] * 1e3,
    }


async def compare(port: int, socket: Path, loads: Sequence[Load]) -> dict[str, Any]:
    """Medians of the rounds of each way and load; the prompts are new in each round."""
    ways: dict[str, Connect] = {
        "direct": lambda: asyncio.open_unix_connection(str(socket)),
        "container": lambda: asyncio.open_connection("127.0.0.1", port),
    }
    numbers: dict[str, Any] = {}
    offset = 0
    for load in loads:
        rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for turn in range(load.rounds + 1):
            for way, connect in ways.items():
                measured = await run(connect, load.streams, load.tokens, offset)
                offset += load.streams
                if turn:  # the first is to warm up
                    rounds[way].append(measured)
        numbers[f"streams_{load.streams}"] = {
            way: {key: round(statistics.median(one[key] for one in all_), 2) for key in all_[0]}
            for way, all_ in rounds.items()
        }
    return numbers


def main() -> None:
    """Measure the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("served", nargs="+", metavar="name=engine:path", help="path: in models")
    arguments = parser.parse_args()
    measured: dict[str, Any] = {}
    for name, _, value in (argument.partition("=") for argument in arguments.served):
        engine, path = value.split(":")
        variables = options(engine, context=1024, concurrency=max(load.streams for load in LOADS))
        try:
            with serving(engine, arguments.models / path, variables) as running:
                measured[name] = uvloop.run(compare(running.container.port, running.engine_socket, LOADS))
        except (AssertionError, RuntimeError, OSError) as error:
            measured[name] = {"error": str(error)[-2000:]}
        print(name, json.dumps(measured[name]), flush=True)
        results = {
            "machine": gpu_machine(),
            "tokens_each": LOADS[0].tokens,
            "rounds": LOADS[0].rounds,
            "measured": measured,
        }
        arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
