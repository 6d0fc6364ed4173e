"""CRC-32 of a join, against zlib's of the whole."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from quant_llm_repack.crc32 import crc32_combine, crc32_combiner


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_crc_of_a_join_is_that_of_the_whole(first: bytes, second: bytes) -> None:
    assert crc32_combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@given(st.lists(st.integers(0, 2**48), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
def test_joins_of_terabytes_can_be_made_in_any_order(lengths: list[int], crc: int) -> None:
    _, second, third = lengths
    left_first = crc32_combine(crc32_combine(crc, 123, second), 456, third)
    right_first = crc32_combine(crc, crc32_combine(123, 456, third), second + third)
    assert left_first == right_first


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_combiner_for_one_length_gives_the_same(first: bytes, second: bytes) -> None:
    combine = crc32_combiner(len(second))
    assert combine(zlib.crc32(first), zlib.crc32(second)) == zlib.crc32(first + second)


def test_64_megabytes_of_zeros() -> None:
    megabyte = bytes(1 << 20)
    crc = 0
    for _ in range(64):
        crc = zlib.crc32(megabyte, crc)
    combined = 0
    for _ in range(64):
        combined = crc32_combine(combined, zlib.crc32(megabyte), len(megabyte))
    assert combined == crc
