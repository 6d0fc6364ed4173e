"""The last check before an archive is published."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quant_llm_repack.errors import MismatchError
from quant_llm_repack.finish import require_verified
from quant_llm_repack.records import PartRecord
from tests.unit.repack.sources import some_bytes, source_file

FILE = source_file("a", some_bytes(100_000))
RECORDS = [
    PartRecord(number=1, crc32=0, payload_crc32=0, after="one"),
    PartRecord(number=2, crc32=0, payload_crc32=0, before="one", sha256={"a": FILE.sha256}),
]


def test_records_that_follow_from_each_other_are_verified() -> None:
    require_verified([FILE], RECORDS)


@pytest.mark.parametrize("before", ["other", None])
def test_a_part_hashed_after_other_bytes_than_those_uploaded_is_found(before: str | None) -> None:
    with pytest.raises(MismatchError, match="the bytes before part 2 are not those"):
        require_verified([FILE], [RECORDS[0], replace(RECORDS[1], before=before)])


def test_a_file_that_nobody_hashed_to_its_end_is_found() -> None:
    with pytest.raises(MismatchError, match="a: its sha256 was not verified"):
        require_verified([FILE], [RECORDS[0], replace(RECORDS[1], sha256={})])


def test_another_sha256_than_the_locks_is_found() -> None:
    with pytest.raises(MismatchError, match="a: the hub's file has sha256 0"):
        require_verified([FILE], [RECORDS[0], replace(RECORDS[1], sha256={"a": "0"})])
