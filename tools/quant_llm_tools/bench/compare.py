"""Results beside a baseline: how many times as fast, whether that is noise, and what tokens cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quant_llm.errors import QuantLlmError
from quant_llm_tools.bench.cost import BreakEven, break_even
from quant_llm_tools.bench.noise import Ratio, ratio_of_rates
from quant_llm_tools.bench.results import Benchmark, Point, Summary

# What must be the same in two runs for their numbers to mean the same.
_SAME_WORKLOAD = ("route", "max_tokens", "fixed_length", "prompts_sha256", "prompts")
_SAME_PARAMETERS = 0.02  # quantised files count their tables differently


@dataclass(frozen=True)
class PointPair:
    """Both results at one concurrency, and how many times as fast a stream is."""

    concurrency: int
    ours: Point
    baseline: Point
    speed: Ratio | None


@dataclass(frozen=True)
class Versus:
    """One result beside the baseline; None is unknown.

    `one_stream`: how many times as fast one stream is, by the article's protocol. `cost`: the price of an
    output token over the baseline's, at one stream and at each one's best load. `differences`: what was asked
    of the two in different ways, which makes the multiples doubtful. `fewer_bits`: whether a weight has fewer
    bits than in the baseline, so that answers may be worse.
    """

    name: str
    benchmark: Benchmark
    one_stream: Ratio | None
    cost_one_stream: float | None
    cost_best: float | None
    points: tuple[PointPair, ...]
    break_even: BreakEven | None
    differences: tuple[str, ...]
    fewer_bits: bool | None


@dataclass(frozen=True)
class Comparison:
    """The baseline, by its name, and the others beside it."""

    name: str
    baseline: Benchmark
    others: tuple[Versus, ...]


def read_all(paths: Sequence[Path]) -> dict[str, Benchmark]:
    """The results of these files by their names; by the file's name where two have the same."""
    read = [(path, Benchmark.read(path)) for path in paths]
    taken = Counter(benchmark.name for _, benchmark in read)
    named: dict[str, Benchmark] = {}
    for path, benchmark in read:
        name = benchmark.name if taken[benchmark.name] == 1 else path.stem
        if name in named:
            raise QuantLlmError(f"{path}: another result is called '{name}' too, expected one name for each")
        named[name] = benchmark
    return named


def compare(results: Mapping[str, Benchmark], baseline: str | None = None) -> Comparison:
    """All results beside one of them, the first unless `baseline` names another."""
    if len(results) < 2:
        raise QuantLlmError(f"a comparison needs at least 2 results, got {len(results)}")
    chosen = next(iter(results)) if baseline is None else baseline
    if chosen not in results:
        raise QuantLlmError(f"--baseline: got '{chosen}', expected one of {', '.join(results)}")
    base = results[chosen]
    others = (_versus(name, one, base) for name, one in results.items() if name != chosen)
    return Comparison(chosen, base, tuple(others))


def _versus(name: str, ours: Benchmark, baseline: Benchmark) -> Versus:
    differences = tuple(_differences(ours, baseline))
    ours_article, base_article = _summary(ours.article), _summary(baseline.article)
    return Versus(
        name=name,
        benchmark=ours,
        one_stream=_speed(ours.article, baseline.article),
        cost_one_stream=_cost(ours_article, base_article),
        cost_best=_cost(_summary(ours.best), _summary(baseline.best)),
        points=tuple(_pairs(ours, baseline)),
        break_even=break_even(ours, baseline),
        differences=differences,
        fewer_bits=_fewer_bits(ours, baseline),
    )


def _pairs(ours: Benchmark, baseline: Benchmark) -> Iterator[PointPair]:
    base = {point.concurrency: point for point in baseline.closed}
    for point in ours.closed:
        other = base.get(point.concurrency)
        if other is not None and point.concurrency is not None:
            yield PointPair(point.concurrency, point, other, _speed(point, other))


def _speed(ours: Point | None, baseline: Point | None) -> Ratio | None:
    if ours is None or baseline is None:
        return None
    return ratio_of_rates(ours.requests, baseline.requests)


def _summary(point: Point | None) -> Summary | None:
    return None if point is None else point.summary


def _cost(ours: Summary | None, baseline: Summary | None) -> float | None:
    if ours is None or baseline is None:
        return None
    above, below = ours.usd_per_million_output_tokens, baseline.usd_per_million_output_tokens
    return None if above is None or not below else above / below


def _differences(ours: Benchmark, baseline: Benchmark) -> Iterator[str]:
    for name in _SAME_WORKLOAD:
        mine, theirs = getattr(ours.workload, name), getattr(baseline.workload, name)
        if mine != theirs:
            yield f"{name.replace('_', ' ')}: {mine} and not {theirs}"
    if not (ours.complete and baseline.complete):
        yield "one of them was interrupted"
    mine, theirs = ours.environment.parameters, baseline.environment.parameters
    if mine is not None and theirs is not None and abs(mine - theirs) > _SAME_PARAMETERS * theirs:
        yield f"parameters: {mine:,} and not {theirs:,}"


def _fewer_bits(ours: Benchmark, baseline: Benchmark) -> bool | None:
    mine, theirs = ours.environment.bits_per_weight, baseline.environment.bits_per_weight
    return None if mine is None or theirs is None else mine < theirs
