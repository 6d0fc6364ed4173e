"""Results with made-up numbers, for what reads results."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from quant_llm_tools.bench.measures import summarise
from quant_llm_tools.bench.results import (
    Benchmark,
    Environment,
    Generator,
    Point,
    Price,
    Request,
    TokenCheck,
    Workload,
)

PROMPTS, ROUNDS, TOKENS = 30, 5, 32
PRICE = Price(usd_per_hour=1.41, instances=1, basis="estimate", as_of="2026-11", note="made up")


def request(rate: float, *, prompt: int = 0, round: int = 0, due_s: float = 0.0) -> Request:
    """One that takes `TOKENS` tokens at exactly this many a second."""
    gap = 1000 / rate
    return Request(
        prompt=prompt,
        round=round,
        due_s=due_s,
        sent_s=due_s,
        first_ms=gap,
        end_ms=gap * TOKENS,
        gaps_ms=(gap,) * (TOKENS - 1),
        prompt_tokens=100,
        output_tokens=TOKENS,
    )


def rounds(rate: Callable[[int, int], float]) -> list[Request]:
    """Rounds of all prompts, one after the other; `rate` tells a request's tokens a second."""
    made, due = [], 0.0
    for number, prompt in itertools.product(range(ROUNDS), range(PROMPTS)):
        made.append(request(rate(number, prompt), prompt=prompt, round=number, due_s=due))
        due += made[-1].end_ms / 1000
    return made


def closed_point(requests: Sequence[Request], streams: int, price: Price | None = PRICE) -> Point:
    """The requests as a closed loop of so many streams."""
    full_load_s = max(one.due_s + one.end_ms / 1000 for one in requests)
    return Point(
        loop="closed",
        concurrency=streams,
        arrivals_per_s=None,
        complete=True,
        full_load_s=full_load_s,
        generator_cpu=0.1,
        gpu_memory_used_mib=6000.0,
        summary=summarise(requests, full_load_s, price),
        requests=tuple(requests),
    )


def sweep_point(streams: int, total: float, generator: random.Random, price: Price | None) -> Point:
    """`streams` streams that come to about `total` tokens a second together."""
    requests: list[Request] = []
    for stream in range(streams):
        due = 0.0
        for number in range(4):
            rate = total / streams * generator.uniform(0.95, 1.05)
            prompt = (4 * stream + number) % PROMPTS
            requests.append(request(rate, prompt=prompt, due_s=due))
            due += requests[-1].end_ms / 1000
    return closed_point(requests, streams, price)


def benchmark(
    name: str = "q4",
    *,
    article: Iterable[Request] | None = None,
    totals: Sequence[tuple[int, float]] = (),
    seed: int = 1,
    price: Price | None = PRICE,
    environment: dict[str, Any] | None = None,
    workload: dict[str, Any] | None = None,
    **changes: Any,
) -> Benchmark:
    """A whole result; `totals` are streams and the tokens a second of all of them."""
    generator = random.Random(seed)  # noqa: S311 - repeatable
    requests = rounds(lambda _, __: generator.uniform(70, 80)) if article is None else list(article)
    known = {
        "target": "sagemaker",
        "endpoint": f"moh-{name}",
        "region": "us-east-1",
        "instance_type": "ml.g5.xlarge",
        "instance_count": 1,
        "gpu_model": "A10G",
        "gpu_count": 1,
        "gpu_memory_mib": 22888.0,
        "engine": "llama.cpp",
        "model": "example/Llama-3-8B",
        "quantization": "Q4_K_M",
        "bits_per_weight": 4.83,
        "parameters": 8_030_000_000,
        "weight_bytes": 4_848_112_500,
        "lock_digest": "0123456789abcdef",
        "load_generator": "made up",
        "quantllm_version": "0.1.0",
    }
    asked = {
        "route": "completions",
        "max_tokens": TOKENS,
        "fixed_length": True,
        "seed": 1,
        "prompts": PROMPTS,
        "rounds": ROUNDS,
        "prompts_sha256": "0" * 64,
        "salt": "00000000",
    }
    fields: dict[str, Any] = {
        "complete": True,
        "started": "2026-11-23T05:00:00+00:00",
        "finished": "2026-11-23T05:09:00+00:00",
        "price": price,
        "generator": Generator(streams=32, pieces_per_s=30000.0, bottleneck=False),
        "token_check": TokenCheck(answers=5, usage=160, pieces=160, retokenised=158, agrees=True),
        "article": closed_point(requests, 1, price) if requests else None,
        "sweep": tuple(sweep_point(streams, total, generator, price) for streams, total in totals),
        "warnings": (),
    }
    return Benchmark(
        name=name,
        environment=Environment.model_validate(known | (environment or {})),
        workload=Workload.model_validate(asked | (workload or {})),
        **fields | changes,
    )
