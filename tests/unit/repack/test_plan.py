"""The plan alone: lengths, offsets, limits of S3, and its own speed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_repack.plan import BLOCKS_PER_PART, MAX_PARTS, ArchivePlan, SourceRange
from quant_llm_repack.request import SourceFile

GB = 1_000_000_000
MIN_S3_PART = 5 * 1024 * 1024
MAX_S3_PART = 5 * 1024**3


def planned(*sizes: int, blocks_per_part: int = BLOCKS_PER_PART) -> ArchivePlan:
    files = [SourceFile(path=f"{index:05}", size=size, sha256="0" * 64) for index, size in enumerate(sizes)]
    return ArchivePlan(files, blocks_per_part=blocks_per_part)


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
    assert last.archive_start + last.length == plan.archive_bytes


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
        assert (part.archive_start, part.payload_start) == (archive, payload)
        archive += part.length
        payload = part.payload_stop
    assert (archive, payload) == (plan.archive_bytes, plan.payload_bytes)


def test_the_last_part_carries_the_trailer_even_when_it_is_full() -> None:
    """A part of the trailer alone would leave one before it under S3's least size."""
    blocks = 2048  # the fewest whose payload is a whole number of tar records
    plan = planned(2 * blocks * 65_535 - 512 - 1024, blocks_per_part=blocks)
    assert plan.payload_bytes == 2 * blocks * 65_535
    assert [part.length for part in plan.parts()] == [10 + blocks * 65_540, blocks * 65_540 + 13]


@pytest.mark.parametrize(("size", "parts"), [(int(42.5 * GB), 634), (141 * GB, 2102)])
def test_models_of_today_have_the_parts_that_the_arithmetic_says(size: int, parts: int) -> None:
    plan = planned(size)
    assert plan.part_count == parts
    assert plan.archive_bytes / size < 1.0001


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
