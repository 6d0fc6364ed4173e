"""Who makes which parts: a pure function of the plan and the number of workers.

A part can be made alone, but a file's sha256 goes on from part to part. Where a file begins in the part
before, its first bytes are quickly read again; the parts between two such places are a *run* and are best
made by one worker, which then waits for nobody. What doesn't fit into the workers' fair shares is made by all
of them together, handing the hash on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from quant_llm_repack.plan import ArchivePlan

# Neighbouring runs are joined up to this part of a worker's share: thousands of small files are few items.
_ITEMS_PER_SHARE = 4


@dataclass(frozen=True, slots=True)
class WorkItem:
    """Parts for one worker, to be made in this order."""

    parts: tuple[int, ...]


def work_items(plan: ArchivePlan, workers: int, *, hand_on: bool = True) -> list[WorkItem]:
    """All parts but the last, which the finisher makes, as items to be begun in this order.

    The first `workers` items begin at the same time: each is a portion of what all share, and then a run of
    its own. Whoever is done takes the next run, the longest first. Without `hand_on` nothing is shared: each
    run is one worker's.
    """
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, got {workers}")
    share = (plan.part_count - 1) / workers
    joined = _joined(list(runs(plan)), int(share / _ITEMS_PER_SHARE))
    joined.sort(key=len, reverse=True)
    loads = [(0.0, worker) for worker in range(workers)]
    whole: list[list[range]] = [[] for _ in range(workers)]
    shared: list[range] = []
    for run in joined:
        load, worker = loads[0]
        # A run longer than what is left of a share would keep its worker busy when the others are done, and a
        # short one is not worth an item of its own.
        is_short = len(run) * _ITEMS_PER_SHARE * 2 < share
        if hand_on and workers > 1 and (is_short or load + len(run) > share):
            shared.append(run)
        else:
            heapq.heapreplace(loads, (load + _cost(plan, run), worker))
            whole[worker].append(run)
    portions = _portions(plan, shared, loads)
    first = [WorkItem(tuple(chain(*own[:1], portion))) for portion, own in zip(portions, whole, strict=True)]
    later = sorted(chain.from_iterable(own[1:] for own in whole), key=len, reverse=True)
    return [item for item in first if item.parts] + [WorkItem(tuple(run)) for run in later]


def runs(plan: ArchivePlan) -> Iterator[range]:
    """Consecutive parts between whose runs the hash need not be handed on; the last part is in none."""
    first = 1
    for number in range(3, plan.part_count):  # no earlier file ends in part 1: what begins there goes on in 2
        begun_in = plan.begun_in(number)
        if begun_in is None or begun_in == number - 1:
            yield range(first, number)
            first = number
    if plan.part_count > 1:
        yield range(first, plan.part_count)


def _joined(given: Sequence[range], longest: int) -> list[range]:
    result: list[range] = []
    for run in given:
        if result and len(result[-1]) + len(run) <= longest:
            result[-1] = range(result[-1].start, run.stop)
        else:
            result.append(run)
    return result


def _cost(plan: ArchivePlan, run: range) -> float:
    """In parts: its own, what is read again for its first one, and one while nothing but the last is sent."""
    return len(run) + plan.parts_read_again(run.start) + 1


def _portions(plan: ArchivePlan, shared: Sequence[range], loads: list[tuple[float, int]]) -> list[list[int]]:
    """Deal the first part of each run, then the second of each, and so on, to who will be free first.

    So whatever a part's hash waits for was dealt long before it. `loads` is a heap of the parts that each
    worker has already, with its number.
    """
    firsts = {run.start for run in shared}
    portions: list[list[int]] = [[] for _ in loads]
    for number in chain.from_iterable(zip_longest(*shared)):
        if number is not None:
            load, worker = loads[0]
            cost = 1 + (plan.parts_read_again(number) if number in firsts else 0.0)
            heapq.heapreplace(loads, (load + cost, worker))
            portions[worker].append(number)
    return portions
