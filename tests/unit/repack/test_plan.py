"""The plan alone: lengths, offsets, limits of S3, and its own speed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_repack.plan import BLOCKS_PER_PART, MAX_PARTS, ArchivePlan, PrefixPlan, SourceRange, plan_of
from quant_llm_repack.request import SourceFile
from tests.unit.repack.sources import ARCHIVE_KEY, PREFIX_KEY, artifact_request

GB = 1_000_000_000
EMPTY = hashlib.sha256().hexdigest()
MIN_S3_PART = 5 * 1024 * 1024
MAX_S3_PART = 5 * 1024**3


def files_of(sizes: Iterable[int]) -> list[SourceFile]:
    return [
        SourceFile(path=f"{index:05}", size=size, sha256=EMPTY if size == 0 else "0" * 64)
        for index, size in enumerate(sizes)
    ]


def planned(*sizes: int, blocks_per_part: int = BLOCKS_PER_PART) -> ArchivePlan:
    return ArchivePlan(files_of(sizes), blocks_per_part=blocks_per_part)


def prefix(*sizes: int, blocks_per_part: int = BLOCKS_PER_PART) -> PrefixPlan:
    return PrefixPlan(files_of(sizes), blocks_per_part=blocks_per_part)


sizes_to_terabytes = st.lists(st.integers(1, 2**42), min_size=1, max_size=8)


@given(sizes_to_terabytes)
def test_s3_takes_every_plan(sizes: list[int]) -> None:
    plan = planned(*sizes)
    assert plan.part_count <= MAX_PARTS
    first, last = plan.part(1), plan.part(plan.part_count)
    middle = plan.part(max(1, plan.part_count // 2))
    for part in (first, middle):
        assert part.is_last or part.length >= MIN_S3_PART
    assert all(part.length <= MAX_S3_PART for part in (first, middle, last))
    assert last.object_start + last.length == plan.total_bytes


@given(sizes_to_terabytes, st.integers(1, 2**42))
def test_a_part_names_each_byte_of_its_files_once(sizes: list[int], anywhere: int) -> None:
    plan = planned(*sizes)
    part = plan.part(anywhere % plan.part_count + 1)
    position = part.payload_start
    for piece in part.pieces:
        if isinstance(piece, SourceRange):
            member = plan.members[int(piece.file.path)]
            assert 0 <= piece.start < piece.stop <= piece.file.size
            assert member.data_offset + piece.start == position
            position += piece.stop - piece.start
        else:
            position += len(piece)
    assert position == part.payload_stop


@given(st.lists(st.sampled_from([1, 511, 512, 513, 65_535, 65_536, 200_000]), min_size=1), st.integers(1, 4))
def test_parts_follow_each_other_without_a_gap(sizes: list[int], blocks_per_part: int) -> None:
    plan = planned(*sizes, blocks_per_part=blocks_per_part)
    archive = payload = 0
    for part in plan.parts():
        assert (part.object_start, part.payload_start) == (archive, payload)
        archive += part.length
        payload = part.payload_stop
    assert (archive, payload) == (plan.total_bytes, plan.payload_bytes)


def test_the_last_part_carries_the_trailer_even_when_it_is_full() -> None:
    """A part of the trailer alone would leave one before it under S3's least size."""
    blocks = 2048  # the fewest whose payload is a whole number of tar records
    plan = planned(2 * blocks * 65_535 - 512 - 1024, blocks_per_part=blocks)
    assert plan.payload_bytes == 2 * blocks * 65_535
    assert [part.length for part in plan.parts()] == [
        10 + (blocks - 1) * 65_540,
        blocks * 65_540,
        65_540 + 13,
    ]


@given(sizes_to_terabytes, st.integers(-3, 3))
def test_the_finisher_makes_little_alone_and_s3_takes_the_part_before(sizes: list[int], blocks: int) -> None:
    at_the_edge = planned(1).part_payload + (80 + blocks) * 65_535 - 20_480  # what is left is 80 blocks or so
    for plan in (planned(*sizes), planned(at_the_edge)):
        if plan.part_count > 1:
            assert plan.part(plan.part_count).length <= 80 * 65_540 + 13
            assert plan.part(plan.part_count - 1).length >= MIN_S3_PART


@given(st.lists(st.integers(196_606, 600_000), min_size=1, max_size=6), st.integers(1, 3))
def test_a_worker_that_begins_with_a_large_file_reads_less_than_a_block_of_it_again(
    sizes: list[int], blocks_per_part: int
) -> None:
    plan = planned(*sizes, blocks_per_part=blocks_per_part)
    starts = [plan.payload_stop(number) for number in range(plan.part_count)]
    for member in plan.members[1:]:
        first = next(number for number, start in enumerate(starts, 1) if start >= member.data_offset)
        assert plan.parts_read_again(first) * blocks_per_part < 1


def test_the_parts_before_a_large_file_are_not_too_small_for_s3() -> None:
    plan = planned(100, GB, 300_000_000, 4_000_000, GB)  # the first begins in the first block
    assert plan.part(2).payload_start - 512 > 65_535
    assert all(plan.part(number).length >= MIN_S3_PART for number in range(1, plan.part_count))
    assert plan.part_count == 15 + 5 + 15 + 1


@pytest.mark.parametrize(("size", "parts"), [(int(42.5 * GB), 635), (141 * GB, 2103)])
def test_models_of_today_have_the_parts_that_the_arithmetic_says(size: int, parts: int) -> None:
    plan = planned(size)
    assert plan.part_count == parts
    assert plan.total_bytes / size < 1.0001


def test_past_671_gb_the_parts_grow() -> None:
    assert planned(671 * GB).blocks_per_part == BLOCKS_PER_PART
    terabytes = planned(5_000 * GB)
    assert terabytes.blocks_per_part > BLOCKS_PER_PART
    assert MAX_PARTS - 10 < terabytes.part_count <= MAX_PARTS


@pytest.mark.parametrize("number", [0, -1, 2])
def test_a_part_that_is_not_there_is_an_error(number: int) -> None:
    with pytest.raises(IndexError, match=f"part must be 1 to 1, got {number}"):
        planned(1).part(number)


@pytest.mark.parametrize("sizes", [[GB] * 140, [70_000_000] * 2000])
def test_a_model_of_140_gb_is_planned_in_well_under_a_second(sizes: list[int]) -> None:
    began = time.process_time()
    parts = sum(1 for _ in planned(*sizes).parts())
    assert parts > 2000
    assert time.process_time() - began < 1.0


def test_the_key_says_which_plan_it_is() -> None:
    assert isinstance(plan_of(artifact_request({"a": b"1"}, key=ARCHIVE_KEY)), ArchivePlan)
    assert isinstance(plan_of(artifact_request({"a": b"1"}, key=PREFIX_KEY)), PrefixPlan)


sizes_of_a_prefix = st.lists(
    st.one_of(st.sampled_from([0, 1, 65_535, 65_536, 5 << 20, 64 << 20]), st.integers(0, 2**42)),
    min_size=1,
    max_size=8,
)


@given(sizes_of_a_prefix)
def test_s3_takes_every_object_of_a_prefix(sizes: list[int]) -> None:
    plan = prefix(*sizes)
    assert [(of.name, of.length) for of in plan.objects] == [
        (file.path, file.size) for file in files_of(sizes)
    ]
    assert plan.total_bytes == sum(sizes)
    assert plan.copied_parts == range(1, plan.part_count + 1)
    for of in plan.objects:
        assert len(of.parts) <= MAX_PARTS
        assert bool(of.parts) == bool(of.length)
        for number in {of.parts.start, of.parts.stop - 2, of.parts.stop - 1} & set(of.parts):
            part = plan.part(number)
            assert MIN_S3_PART <= part.length <= MAX_S3_PART or part.is_last
            assert part.is_last == (number == of.parts[-1])
            assert part.s3_number == number - of.parts.start + 1
        if of.parts:
            last = plan.part(of.parts[-1])
            assert last.object_start + last.length == of.length


@given(sizes_of_a_prefix, st.integers(0, 2**42))
def test_a_part_of_a_prefix_is_one_range_of_one_file(sizes: list[int], anywhere: int) -> None:
    plan = prefix(*sizes)
    if plan.part_count:
        number = anywhere % plan.part_count + 1
        part, of = plan.part(number), plan.object_of(number)
        start = part.object_start
        assert part.pieces == (SourceRange(of.files[0], start, start + part.length),)
        assert plan.payload_stop(number) - plan.payload_stop(number - 1) == part.length
        assert plan.begun_in(number) == (of.parts.start if start else None)
        again = start / plan.part_payload
        assert plan.parts_read_again(number) == pytest.approx(again)
        assert (part.continued is None) == (start == 0)


def test_parts_of_a_prefix_grow_with_their_own_file_alone() -> None:
    plan = prefix(5_000 * GB, GB)
    large, small = plan.objects
    assert MAX_PARTS - 10 < len(large.parts) <= MAX_PARTS
    assert plan.payload_bytes_of(small.parts[0]) == plan.part_payload < plan.payload_bytes_of(large.parts[0])
