"""Prices say how they are known; what is not known is not made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_llm.catalogue import PriceList, load_catalogue, usd_per_hour
from quant_llm.errors import QuantLlmError


def price(instance_type: str, region: str = "us-east-1") -> tuple[float, str, str] | None:
    found = usd_per_hour(instance_type, region)
    return None if found is None else (found.usd_per_hour, found.basis, found.as_of)


@pytest.mark.parametrize(
    ("instance_type", "region", "expected"),
    [
        ("ml.g5.xlarge", "us-east-1", (1.408, "published", "2026-08-17")),
        ("ml.g6.xlarge", "us-east-1", (round(0.8048 * 1.40, 4), "estimate", "2026-07-20")),
        ("ml.g6.8xlarge", "us-east-1", (round(2.0144 * 1.25, 4), "estimate", "2026-07-20")),
        ("ml.g4dn.xlarge", "ap-southeast-1", (round(0.736 * 1.40, 4), "estimate", "2026-01-21")),
        ("ml.g4dn.12xlarge", "ap-southeast-1", (round(5.474 * 1.25, 4), "estimate", "2026-01-21")),
        ("ml.p4d.24xlarge", "us-east-1", (round(21.957642 * 1.15, 4), "estimate", "2026-07-20")),
        ("ml.g6e.48xlarge", "us-west-2", (37.663975, "estimate", "2026 (undated)")),
    ],
)
def test_a_price_is_the_most_direct_that_is_known(
    instance_type: str, region: str, expected: tuple[float, str, str]
) -> None:
    assert price(instance_type, region) == expected


@pytest.mark.parametrize(
    ("instance_type", "region"),
    [
        ("ml.g5.xlarge", "ap-southeast-1"),  # known elsewhere, and not taken from there
        ("ml.g7.2xlarge", "us-east-1"),  # EC2's is known, its ratio to SageMaker's is not
        ("ml.m5.xlarge", "us-east-1"),
        ("ml.g5.xlarge", "mars-north-1"),
    ],
)
def test_an_unknown_price_stays_unknown(instance_type: str, region: str) -> None:
    assert price(instance_type, region) is None


def test_a_stale_price_is_not_used() -> None:
    found = price("ml.p5.48xlarge")
    assert found is not None
    assert found[0] < 70  # and not the 113.068 of 2025


def test_the_factors_are_those_of_the_pairs_that_can_be_compared() -> None:
    """Where both prices are known, the estimate is within 2 % of the published price."""
    from quant_llm.catalogue.prices import EC2_FACTORS, _from_ec2

    compared = 0
    for instance in load_catalogue().instances:
        for hosting in instance.hosting_on_demand:
            estimate = _from_ec2(instance, hosting.region)
            assert instance.family in EC2_FACTORS
            assert estimate is not None
            assert estimate.usd_per_hour == pytest.approx(hosting.usd_per_hour, rel=0.02)
            compared += 1
    assert compared > 20


def test_a_price_list_wins_over_the_bundled_prices() -> None:
    listed = PriceList(as_of="2026-11-23", prices={"ap-southeast-1": {"ml.g5.xlarge": 1.76}})
    found = usd_per_hour("ml.g5.xlarge", "ap-southeast-1", price_list=listed)
    assert found is not None
    assert (found.usd_per_hour, found.basis, found.as_of) == (1.76, "price list", "2026-11-23")
    other = usd_per_hour("ml.g5.xlarge", "us-east-1", price_list=listed)
    assert other is not None
    assert other.basis == "published"


def test_a_price_list_reads_back_as_written(tmp_path: Path) -> None:
    listed = PriceList(as_of="2026-11-23", prices={"b": {"y": 2.0, "x": 1.0}, "a": {}})
    path = tmp_path / "price_list.json"
    path.write_text(listed.to_json())
    assert PriceList.read(path) == listed
    assert listed.to_json().index('"a"') < listed.to_json().index('"b"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "(the whole file)"),
        ('{"as_of": "x", "prices": {"r": {"t": 0}}}', "prices.r.t"),
        (None, "can't be read"),
    ],
)
def test_a_price_list_that_cannot_be_read_says_where(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "price_list.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(QuantLlmError, match=message.replace("(", r"\(").replace(")", r"\)")):
        PriceList.read(path)


def test_an_estimate_is_called_one_and_a_month_has_730_hours() -> None:
    published, estimate = usd_per_hour("ml.g5.xlarge", "us-east-1"), usd_per_hour("ml.g6.xlarge", "us-east-1")
    assert str(published) == "$1.408/h"
    assert str(estimate) == "about $1.13/h (estimate)"
    assert published is not None
    assert published.monthly(2) == pytest.approx(1.408 * 730 * 2)
