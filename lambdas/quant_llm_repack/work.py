"""Who makes which parts: a pure function of the plan and the number of workers.

A part can be made alone, but a file's sha256 goes on from part to part. Where a file begins with the part, or
within the part before, so that its first bytes are quickly read again, a new *run* begins. A run is best made
by one worker, which then waits for nobody. What doesn't fit into the workers' fair shares is made by all of
them together, handing the hash on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from quant_llm_repack.plan import Plan

# Neighbouring runs are joined up to this part of a worker's share: thousands of small files are few items.
_ITEMS_PER_SHARE = 4

# What the requests of a part take, of the time for a whole one: a part of few bytes costs that at least.
_LEAST_COST = 0.2


@dataclass(frozen=True, slots=True)
class WorkItem:
    """Parts for one worker, to be made in this order."""

    parts: tuple[int, ...]


def work_items(plan: Plan, workers: int, *, hand_on: bool = True) -> list[WorkItem]:
    """All parts that workers make, as items to be begun in this order.

    The first `workers` items begin at the same time: each is a portion of what all share, and then a run of
    its own. Whoever is done takes the next run, the longest first. Without `hand_on` nothing is shared: each
    run is one worker's.
    """
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, got {workers}")
    found = [(_cost(plan, run), run) for run in runs(plan)]
    share = sum(cost for cost, _ in found) / workers
    joined = _joined(found, share / _ITEMS_PER_SHARE)
    joined.sort(key=lambda each: each[0], reverse=True)
    loads = [(0.0, worker) for worker in range(workers)]
    whole: list[list[range]] = [[] for _ in range(workers)]
    shared: list[range] = []
    for cost, run in joined:
        load, worker = loads[0]
        # A run longer than what is left of a share would keep its worker busy when the others are done, and a
        # short one is not worth an item of its own.
        is_short = cost * _ITEMS_PER_SHARE * 2 < share
        if hand_on and workers > 1 and (is_short or load + cost > share):
            shared.append(run)
        else:
            # And one part's time while nothing but the last is sent.
            busy = load + cost + plan.parts_read_again(run.start) + 1
            heapq.heapreplace(loads, (busy, worker))
            whole[worker].append(run)
    portions = _portions(plan, shared, loads)
    first = [WorkItem(tuple(chain(*own[:1], portion))) for portion, own in zip(portions, whole, strict=True)]
    later = sorted(chain.from_iterable(own[1:] for own in whole), key=len, reverse=True)
    return [item for item in first if item.parts] + [WorkItem(tuple(run)) for run in later]


def runs(plan: Plan) -> Iterator[range]:
    """Consecutive parts between whose runs the hash need not be handed on; none of the finisher's parts."""
    first, end = plan.copied_parts.start, plan.copied_parts.stop
    for number in range(first + 1, end):
        begun_in = plan.begun_in(number)
        # No earlier file ends in part 1: a worker of its own would gain nothing.
        is_near = begun_in == number - 1 > 1 and plan.parts_read_again(number) < 1
        if begun_in is None or is_near:
            yield range(first, number)
            first = number
    if first < end:
        yield range(first, end)


def _joined(given: Sequence[tuple[float, range]], most: float) -> list[tuple[float, range]]:
    result: list[tuple[float, range]] = []
    for cost, run in given:
        if result and result[-1][0] + cost <= most:
            before, joined = result[-1]
            result[-1] = before + cost, range(joined.start, run.stop)
        else:
            result.append((cost, run))
    return result


def _cost(plan: Plan, run: range) -> float:
    """How long a worker takes for a run, in whole parts."""
    return sum(max(_LEAST_COST, _size(plan, number)) for number in run)


def _size(plan: Plan, number: int) -> float:
    """A part's bytes of payload, in whole parts."""
    return plan.payload_bytes_of(number) / plan.part_payload


def _portions(plan: Plan, shared: Sequence[range], loads: list[tuple[float, int]]) -> list[list[int]]:
    """Deal the first part of each run, then the second of each, and so on, to who will be free first.

    So whatever a part's hash waits for was dealt long before it. `loads` is a heap of the parts that each
    worker has already, with its number.
    """
    firsts = {run.start for run in shared}
    portions: list[list[int]] = [[] for _ in loads]
    for number in chain.from_iterable(zip_longest(*shared)):
        if number is not None:
            load, worker = loads[0]
            cost = max(_LEAST_COST, _size(plan, number))
            cost += plan.parts_read_again(number) if number in firsts else 0.0
            heapq.heapreplace(loads, (load + cost, worker))
            portions[worker].append(number)
    return portions
