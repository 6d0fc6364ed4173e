"""What the container's adapter costs.

32 streams of 100 tokens a second each, from an upstream without a model, read directly, through our adapter
(by OpenAI's route, and by /invocations, where the body tells the route), and through nginx. A round measures
each way once, one after the other, so that a machine that is busy for a while is so for all of them; the
result is the median over the rounds of what a way lost against the direct one in the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.adapter_upstream import TOKENS_PER_SECOND
from benchmarks.serving_machine import print_serving_machine
from quant_llm_tools.local_aws.hub.catalogue import packaged_model

ROOT = Path(__file__).resolve().parents[1]
STREAMS = 32
ROUTE = "/v1/chat/completions"
RATIO_GOAL = 0.98
ADDED_MS_GOAL = 3.0
_START_SECONDS = 20.0


@dataclass(frozen=True)
class Sample:
    """What the callers saw: tokens a second of all streams, and the median time to the first token."""

    tokens_per_s: float
    first_token_ms: float


@dataclass(frozen=True)
class Cost:
    """What a way costs against the direct one: the share of its tokens/s, and what the first token waits."""

    ratio: float
    added_ms: float


def cost(direct: Sequence[Sample], way: Sequence[Sample]) -> Cost:
    """The medians over rounds; `direct` and `way` have a sample of each round, in the same order."""
    rounds = list(zip(direct, way, strict=True))
    return Cost(
        ratio=round(median(one.tokens_per_s / bare.tokens_per_s for bare, one in rounds), 4),
        added_ms=round(median(one.first_token_ms - bare.first_token_ms for bare, one in rounds), 2),
    )


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[None]:
    process = subprocess.Popen(  # noqa: S603 - our own programs
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _ours(upstream_program: Path, port: int) -> Iterator[None]:
    """The entrypoint, whose `llama-server` is the upstream."""
    environment = {
        "PATH": f"{upstream_program}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "container" / "sagemaker"),
        "SM_MODEL_DIR": str(packaged_model().parent),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SERVING_BIND_ADDRESS": "127.0.0.1",
        "LLAMA_ARG_N_PARALLEL": str(STREAMS),
    }
    command = [sys.executable, "-m", "quant_llm_serving", "llama.cpp", "serve"]
    with _process(command, environment):
        yield


@contextmanager
def _nginx(program: str, directory: Path, port: int, upstream: int) -> Iterator[None]:
    """nginx as containers for SageMaker have it: no buffering, connections to the upstream are kept."""
    configuration = directory / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration.write_text(
        f"daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;"
        f"events {{ worker_connections 1024; }} http {{ access_log off; {temporary} client_max_body_size 25m;"
        f"upstream engine {{ server 127.0.0.1:{upstream}; keepalive 64; }}"
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://engine; proxy_http_version 1.1;"
        'proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off; } } }\n'
    )
    with _process([program, "-c", str(configuration), "-p", str(directory)]):
        yield


@contextmanager
def _ways(directory: Path) -> Iterator[dict[str, tuple[int, str]]]:
    """Port and path of each way."""
    upstream, ours, nginx = (_free_port() for _ in range(3))
    program = directory / "bin"
    program.mkdir()
    script = program / "llama-server"
    script.write_text(
        f"#!/bin/sh\ncd '{ROOT}' && exec '{sys.executable}' -m benchmarks.adapter_upstream \"$@\"\n"
    )
    script.chmod(0o755)
    ways = {
        "direct": (upstream, ROUTE),
        "ours": (ours, ROUTE),
        "ours, routed by body": (ours, "/invocations"),
    }
    with ExitStack() as stack:
        stack.enter_context(_process([sys.executable, "-m", "benchmarks.adapter_upstream", str(upstream)]))
        stack.enter_context(_ours(program, ours))
        if path := shutil.which("nginx"):
            stack.enter_context(_nginx(path, directory, nginx, upstream))
            ways["nginx"] = (nginx, ROUTE)
        for port, _ in ways.values():
            _wait_for(port)
        yield ways


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing answered /ping on port {port} within {_START_SECONDS:g} s")


def _sample(port: int, path: str, turns: int) -> Sample:
    arguments = ["-m", "benchmarks.adapter_load", str(port), path, str(STREAMS), str(turns)]
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return Sample(**json.loads(done.stdout))


def main() -> int:
    """Measure and print; returns 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 rounds of 2 turns in place of 20 of 3")
    parser.add_argument("--json", action="store_true", help="the result as JSON in the last line")
    options = parser.parse_args()
    rounds, turns = (5, 2) if options.quick else (20, 3)
    print_serving_machine()
    print(f"\n{STREAMS} streams of {TOKENS_PER_SECOND:g} tokens/s, {rounds} rounds of {turns} turns a way\n")
    samples: dict[str, list[Sample]] = {}
    with tempfile.TemporaryDirectory(prefix="adapter-") as directory, _ways(Path(directory)) as ways:
        for turn in range(rounds):
            for way, (port, path) in ways.items():
                if sys.stderr.isatty():
                    print(f"{turn + 1}/{rounds} {way}\033[K", end="\r", file=sys.stderr)
                samples.setdefault(way, []).append(_sample(port, path, turns))
    costs = {way: cost(samples["direct"], of_way) for way, of_way in samples.items()}
    print(f"{'way':22} {'tokens/s':>9} {'first token ms':>15} {'of direct':>10} {'added ms':>9}")
    for way, of_way in samples.items():
        tokens, first = median(s.tokens_per_s for s in of_way), median(s.first_token_ms for s in of_way)
        print(f"{way:22} {tokens:9.0f} {first:15.2f} {costs[way].ratio:10.4f} {costs[way].added_ms:9.2f}")
    if "nginx" not in costs:
        print("nginx                  not installed")
    result = _result(costs)
    print(
        f"\ngoals: at least {RATIO_GOAL} of the tokens/s, "
        f"at most {ADDED_MS_GOAL:g} ms added to the first token"
    )
    if options.json:
        print(json.dumps(result))
    missed = any(
        costs[way].ratio < RATIO_GOAL or costs[way].added_ms > ADDED_MS_GOAL
        for way in ("ours", "ours, routed by body")
    )
    return int(missed)


def _result(costs: Mapping[str, Cost]) -> dict[str, float | None]:
    """Ours is the dearer way of the two: routed by body."""
    ours, plain, nginx = costs["ours, routed by body"], costs["ours"], costs.get("nginx")
    return {
        "tokens_per_s_ratio": ours.ratio,
        "ttft_added_ms": ours.added_ms,
        "openai_route_tokens_per_s_ratio": plain.ratio,
        "openai_route_ttft_added_ms": plain.added_ms,
        "nginx_tokens_per_s_ratio": nginx.ratio if nginx else None,
        "nginx_ttft_added_ms": nginx.added_ms if nginx else None,
    }
