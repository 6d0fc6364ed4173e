"""Requests and results made for tests."""

from __future__ import annotations

from collections.abc import Sequence

from quant_llm_tools.bench.measures import summarise
from quant_llm_tools.bench.results import Benchmark, Environment, Point, Price, Request, Workload

PRICE = Price(usd_per_hour=3.6, instances=1, basis="given", as_of="2026-11-23", note="for a test")


def request(
    *,
    due_s: float = 0.0,
    first_ms: float = 100.0,
    gaps_ms: Sequence[float] = (10.0, 10.0, 10.0),
    round_: int = 0,
    output_tokens: int | None = None,
) -> Request:
    """One that went well; a token a piece, unless said otherwise."""
    return Request(
        prompt=0,
        round=round_,
        due_s=due_s,
        sent_s=due_s,
        first_ms=first_ms,
        end_ms=first_ms + sum(gaps_ms),
        gaps_ms=tuple(gaps_ms),
        prompt_tokens=10,
        output_tokens=1 + len(gaps_ms) if output_tokens is None else output_tokens,
    )


def failed(kind: str = "throttled") -> Request:
    """One that failed at once."""
    return Request(
        prompt=0,
        round=0,
        due_s=0.0,
        sent_s=0.0,
        first_ms=None,
        end_ms=1.0,
        gaps_ms=(),
        prompt_tokens=None,
        output_tokens=None,
        error=kind,
        detail="as asked",
    )


def point(concurrency: int, tokens_per_s: float, price: Price | None = PRICE, errors: int = 0) -> Point:
    """A closed loop with just this rate: as many tokens as that in one second of full load."""
    tokens = round(tokens_per_s)
    requests = (
        request(first_ms=0.0, gaps_ms=[1000 / tokens] * (tokens - 1)),
        *(failed() for _ in range(errors)),
    )
    return Point(
        loop="closed",
        concurrency=concurrency,
        arrivals_per_s=None,
        complete=True,
        full_load_s=1.0,
        generator_cpu=0.1,
        summary=summarise(requests, 1.0, price),
        requests=requests,
    )


def benchmark(*points: Point, price: Price | None = PRICE) -> Benchmark:
    """A result with these points, the first of them for the article's."""
    return Benchmark(
        name="made",
        complete=True,
        started="2026-11-23T05:00:00+00:00",
        finished="2026-11-23T05:01:00+00:00",
        environment=Environment(
            target="url", endpoint="http://127.0.0.1/v1", load_generator="a test", quantllm_version="0"
        ),
        workload=Workload(
            route="completions",
            max_tokens=4,
            fixed_length=True,
            seed=1,
            prompts=1,
            rounds=1,
            prompts_sha256="0" * 64,
            salt="00000000",
        ),
        price=price,
        generator=None,
        token_check=None,
        article=points[0] if points else None,
        sweep=points,
        warnings=(),
    )
