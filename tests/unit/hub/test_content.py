"""Every range of a file must be the same bytes that the whole file has there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_tools.local_aws.hub.content import (
    NOISE_PERIOD,
    BytesContent,
    Content,
    FileContent,
    GeneratedContent,
    read,
)

HEADER = b"a true header"
BODY_BYTES = 3 * NOISE_PERIOD
SIZE = len(HEADER) + BODY_BYTES


def generated(seed: int = 7) -> GeneratedContent:
    return GeneratedContent(lambda: HEADER, BODY_BYTES, seed)


WHOLE = read(generated(), 0, SIZE)


@given(st.integers(0, SIZE), st.integers(0, SIZE))
def test_a_range_of_generated_content_is_that_part_of_the_whole(one: int, other: int) -> None:
    start, end = sorted((one, other))
    assert read(generated(), start, end) == WHOLE[start:end]


def test_generated_content_starts_with_its_header_and_has_its_size() -> None:
    assert WHOLE.startswith(HEADER)
    assert len(WHOLE) == generated().size == SIZE


def test_files_with_different_seeds_differ() -> None:
    assert read(generated(seed=8), 0, SIZE) != WHOLE


def test_parts_of_a_common_size_never_have_the_same_bytes() -> None:
    part = 1 << 20
    assert WHOLE[:part] != WHOLE[part : 2 * part]


def test_the_header_is_not_built_before_it_is_needed() -> None:
    def fail() -> bytes:
        pytest.fail("the header was built")

    GeneratedContent(fail, body_bytes=10, seed=0)


@pytest.mark.parametrize(("start", "end"), [(0, 5), (2, 4), (3, 3)])
def test_ranges_of_bytes_and_files(tmp_path: Path, start: int, end: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"01234")
    contents: list[Content] = [BytesContent(b"01234"), FileContent(path)]
    for content in contents:
        assert content.size == 5
        assert read(content, start, end) == b"01234"[start:end]
