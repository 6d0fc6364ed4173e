"""What the repack's benchmark makes of its measurements."""

from __future__ import annotations

import pytest

from benchmarks.repack_comparison import OURS, PLAIN_COPY, TARFILE, WAYS, Row, Way, findings
from benchmarks.repack_extraction import READERS, Extraction
from benchmarks.repack_ways import WAYS as IMPLEMENTED
from benchmarks.repack_ways import Outcome


def row(way: Way, *seconds: float, model_bytes: int = 1_000_000_000) -> Row:
    return Row(way, model_bytes, [Outcome(each, cpu_seconds=2 * each, peak_rss_mib=100) for each in seconds])


def test_a_rate_is_the_median_runs_in_millions_of_bytes() -> None:
    measured = row(OURS, 4.0, 1.0, 2.0)
    assert measured.rates == [250, 500, 1000]
    assert measured.rate == 500
    assert measured.cpu_seconds_per_gb == 4


def test_ways_over_a_disk_are_compared_by_their_rate_on_a_smaller_model() -> None:
    rows = {
        OURS: row(OURS, 2.0),
        Way("plain copy"): row(PLAIN_COPY, 1.6),
        Way("bare copy"): row(Way("bare copy"), 1.0),
        TARFILE: row(TARFILE, 1.0, model_bytes=40_000_000),
    }
    found = findings(rows, {100: 180.04, 1000: 180.06}, [Extraction("GNU tar, by gzip", 250, 1000)])
    assert found["ratio_to_plain_copy"] == 0.8
    assert found["ratio_to_bare_copy"] == 0.5
    assert found["ratio_over_tarfile_gz"] == 12.5
    assert found["peak_rss_mib"] == 180.1
    assert found["extraction_ratio_to_tar"] == 0.25


def test_each_count_of_workers_is_compared_with_a_copy_by_as_many() -> None:
    four, plain_four = Way("ours", workers=4), Way("plain copy", workers=4)
    rows = {each: row(each, 1.0) for each in (OURS, PLAIN_COPY, Way("bare copy"), TARFILE)}
    rows |= {four: row(four, 1.0), plain_four: row(plain_four, 0.5)}
    ratios = findings(rows, {1: 1.0}, [])["ratios_to_plain_copy"]
    assert isinstance(ratios, dict)
    assert ratios["ours, 4 workers"] == 0.5
    assert ratios["ours, 1 worker"] == 1.0


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title)
def test_every_row_has_its_way(way: Way) -> None:
    assert way.name in IMPLEMENTED
    assert way.limit in WAYS


def test_the_first_reader_is_the_one_with_a_goal() -> None:
    assert next(iter(READERS)) == "GNU tar, by gzip"
