"""From a subject and settings to a result."""

from __future__ import annotations

import datetime
import math
import secrets
from dataclasses import dataclass

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench.asking import Clock, Form, Route
from quant_llm_tools.bench.generator import ceiling, judged
from quant_llm_tools.bench.progress import Progress
from quant_llm_tools.bench.prompts import load_prompts
from quant_llm_tools.bench.remarks import remarks
from quant_llm_tools.bench.results import Benchmark, Workload
from quant_llm_tools.bench.runner import Plan, Runner
from quant_llm_tools.bench.subject import Subject


@dataclass(frozen=True)
class Settings:
    """How much is measured. `prompts` counts from the first; any multiple of five has all lengths alike."""

    route: Route = "completions"
    prompts: int = 30
    rounds: int = 5
    max_tokens: int = 128
    seconds: float = 30.0
    most_streams: int = 64
    shares_of_best: tuple[float, ...] = (0.5, 0.8)
    least_arrivals: int = 10
    arrivals_per_s: tuple[float, ...] = ()
    budget_s: float = math.inf
    seed: int = 1


QUICK = Settings(
    prompts=5,
    rounds=1,
    max_tokens=32,
    seconds=4.0,
    most_streams=4,
    shares_of_best=(0.8,),
    least_arrivals=5,
    budget_s=36.0,
)
"""A minute's glance, on a small model."""


async def measure(
    subject: Subject, settings: Settings, progress: Progress, clock: Clock, name: str | None = None
) -> Benchmark:
    """Measure the ceiling of the generator, then the subject. Cancelled, it returns what it has.

    QuantLlmError if the subject doesn't answer, or nothing was measured before the end.
    """
    started = _now()
    prompts = load_prompts()
    form = Form(settings.route, settings.max_tokens, settings.seed, fixed_length=True, model=subject.model)
    plan = Plan(
        prompts=prompts.texts[: settings.prompts],
        rounds=settings.rounds,
        seconds=settings.seconds,
        most_streams=settings.most_streams,
        shares_of_best=settings.shares_of_best,
        least_arrivals=settings.least_arrivals,
        arrivals_per_s=settings.arrivals_per_s,
        budget_s=settings.budget_s,
    )
    runner = Runner(
        target=subject.target,
        form=form,
        plan=plan,
        price=subject.price,
        salt=secrets.token_hex(4),
        progress=progress,
        clock=clock,
        memory=subject.memory,
    )
    streams = max(settings.most_streams, 1)
    progress.step("load generator's own limit")
    most = await ceiling(subject.null_target, form.body(plan.prompts[0]), streams, clock)
    progress.finished(f"{most:.0f} pieces/s with {streams} streams")
    try:
        measured = await runner.run()
    finally:
        await subject.target.close()
    if not measured.points:
        raise QuantLlmError("interrupted before anything was measured")
    workload = Workload(
        route=settings.route,
        max_tokens=settings.max_tokens,
        fixed_length=form.fixed_length,
        seed=settings.seed,
        prompts=len(plan.prompts),
        rounds=settings.rounds,
        prompts_sha256=prompts.sha256,
        salt=runner.salt,
    )
    generator = judged(streams, most, measured.points)
    return Benchmark(
        name=name or subject.name,
        complete=measured.complete,
        started=started,
        finished=_now(),
        environment=subject.environment,
        workload=workload,
        price=subject.price,
        generator=generator,
        token_check=measured.token_check,
        article=measured.article,
        sweep=tuple(measured.sweep),
        warnings=(*subject.remarks, *remarks(measured, workload, generator, subject.price)),
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
