"""Who makes which parts: every part once, in shares of one size."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from quant_llm_repack.plan import ArchivePlan, PrefixPlan
from quant_llm_repack.request import SourceFile
from quant_llm_repack.work import runs, work_items

GB = 1_000_000_000
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def planned(sizes: list[int], blocks_per_part: int = 1024) -> ArchivePlan:
    return ArchivePlan(
        (
            SourceFile(path=f"{number:05}", size=size, sha256=EMPTY if size == 0 else "0" * 64)
            for number, size in enumerate(sizes)
        ),
        blocks_per_part=blocks_per_part,
    )


sizes = st.lists(st.sampled_from([0, 1, 65_023, 65_535, 900_000, 9 << 30]), min_size=1, max_size=12)


@given(sizes, st.integers(1, 120), st.sampled_from([1, 16, 1024]), st.booleans())
def test_every_part_but_the_last_is_made_once(
    sizes: list[int], workers: int, blocks_per_part: int, hand_on: bool
) -> None:
    plan = planned(sizes, blocks_per_part)
    items = work_items(plan, workers, hand_on=hand_on)
    made = [number for item in items for number in item.parts]
    assert sorted(made) == list(range(1, plan.part_count))
    assert all(item.parts for item in items)


@given(sizes, st.sampled_from([1, 16, 1024]))
def test_the_hash_is_never_handed_on_between_runs(sizes: list[int], blocks_per_part: int) -> None:
    plan = planned(sizes, blocks_per_part)
    for run in runs(plan):
        assert plan.begun_in(run.start) in (None, run.start - 1)
        for number in run[1:]:
            if number == 2:
                continue  # nothing is gained by a worker of its own for part 1
            assert (plan.begun_in(number) or number) < number - 1


@given(sizes, st.sampled_from([1, 16]))
def test_where_a_file_begins_is_where_its_part_says(sizes: list[int], blocks_per_part: int) -> None:
    plan = planned(sizes, blocks_per_part)
    for number in range(1, min(plan.part_count, 200) + 1):
        assert (plan.part(number).continued is None) == (plan.begun_in(number) is None)


def test_a_huge_file_is_shared_by_all_workers() -> None:
    items = work_items(planned([141 * GB]), 10)
    assert {len(item.parts) for item in items} == {210, 211}
    assert sorted(item.parts[0] for item in items) == list(range(1, 11))


def test_without_states_a_file_has_one_worker() -> None:
    items = work_items(planned([42 * GB, 10 * GB]), 10, hand_on=False)
    assert len(items) == 2
    assert all(list(item.parts) == list(range(item.parts[0], item.parts[-1] + 1)) for item in items)


def test_many_shards_are_mostly_one_workers_and_shares_are_even() -> None:
    plan = planned([GB] * 140)
    for workers in (10, 100):
        items = work_items(plan, workers)
        assert len(items) <= 4 * workers + 1
        if workers == 100:
            assert {len(item.parts) for item in items} <= {20, 21, 22}


def test_thousands_of_small_files_are_few_items() -> None:
    assert len(work_items(planned([20_000_000] * 5000), 10)) <= 50
    assert len(work_items(prefix([20_000] * 5000), 10)) <= 50


def prefix(sizes: list[int], blocks_per_part: int = 1024) -> PrefixPlan:
    return PrefixPlan(planned(sizes).objects[0].files, blocks_per_part=blocks_per_part)


@given(sizes, st.integers(1, 120), st.sampled_from([128, 1024]), st.booleans())
@settings(deadline=None)
def test_every_part_of_a_prefix_is_made_once(
    sizes: list[int], workers: int, blocks_per_part: int, hand_on: bool
) -> None:
    plan = prefix(sizes, blocks_per_part)
    items = work_items(plan, workers, hand_on=hand_on)
    assert sorted(number for item in items for number in item.parts) == list(range(1, plan.part_count + 1))
    assert all(item.parts for item in items)


@given(sizes, st.sampled_from([128, 1024]))
@settings(deadline=None)
def test_the_runs_of_a_prefix_are_its_files(sizes: list[int], blocks_per_part: int) -> None:
    plan = prefix(sizes, blocks_per_part)
    assert list(runs(plan)) == [of.parts for of in plan.objects if of.parts]


def test_a_prefix_of_shards_and_small_files_is_shared_evenly() -> None:
    plan = prefix([5 * GB] * 20 + [2_000] * 30)
    for workers in (4, 10):
        loads = sorted(
            sum(plan.part(number).length for number in item.parts)
            for item in work_items(plan, workers)[:workers]
        )
        assert loads[-1] < 2 * loads[0] + 5 * GB
