"""`quantllm prices` without a network."""

from __future__ import annotations

import pytest

from quant_llm.catalogue import Price, load_catalogue, usd_per_hour
from quant_llm_tools.cli import main
from quant_llm_tools.prices.document import KnownPrice, Prices, RegionPrices, TypePrice
from quant_llm_tools.prices.text import prices_text

KNOWN = (
    Price("ml.g5.xlarge", "us-east-1", 1.408, "published", "2026-08", "a list: cents"),
    Price("ml.g6.xlarge", "us-east-1", 1.12672, "estimate", "2026-07-20", "b: EC2's $0.8 x 1.4"),
    Price(
        "ml.p6-b200.48xlarge",
        "us-east-1",
        113.93,
        "estimate",
        "2026 (undated)",
        "b: price of a component of a very long name, not of hosting",
    ),
    Price("ml.p5.48xlarge", "us-east-1", 63.296, "price list", "2026-11-23", "AWS"),
)
UNKNOWN = TypePrice(instance_type="ml.unknown", price=None)
PRICES = Prices(
    price_list="2026-11-23",
    regions=(
        RegionPrices(region="eu-west-1", types=(UNKNOWN,)),
        RegionPrices(
            region="us-east-1",
            types=(
                *(TypePrice(instance_type=one.instance_type, price=KnownPrice.of(one)) for one in KNOWN),
                UNKNOWN,
            ),
        ),
    ),
)

TABLE = """\
AWS's price list was read on 2026-11-23

us-east-1
  type                     $/h basis      as of          from
  ml.g5.xlarge           1.408 published  2026-08        a list
  ml.g6.xlarge          ~1.127 estimate   2026-07-20     EC2's $0.8 x 1.4
  ml.p6-b200.48xlarge   ~113.9 estimate   2026 (undated) a component of a ver...
  ml.p5.48xlarge          63.3 price list 2026-11-23     AWS
  unknown: ml.unknown

nothing is known of eu-west-1

price list: AWS"""


def test_the_table_is_this() -> None:
    assert prices_text(PRICES, every=False).startswith(TABLE)


def test_a_region_that_is_asked_for_is_shown_though_nothing_is_known() -> None:
    assert "\neu-west-1\n  unknown: ml.unknown\n" in prices_text(PRICES, every=True)


def test_no_line_is_longer_than_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80


def test_json_has_every_type_of_every_region_and_null_for_unknown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["prices", "--json"]) == 0
    prices = Prices.model_validate_json(capsys.readouterr().out)
    found = {
        (region.region, one.instance_type): one.price.usd_per_hour if one.price else None
        for region in prices.regions
        for one in region.types
    }
    expected = {}
    for instance in load_catalogue().instances:
        for region in instance.hosting_regions:
            price = usd_per_hour(instance.instance_type, region)
            expected[region, instance.instance_type] = price.usd_per_hour if price else None
    assert found == expected
    assert None in found.values()


def test_one_region_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "--region", "ap-southeast-1", "--json"]) == 0
    assert [one.region for one in Prices.model_validate_json(capsys.readouterr().out).regions] == [
        "ap-southeast-1"
    ]
    assert main(["prices", "--region", "ap-southeast-11"]) == 1
    assert "did you mean 'ap-southeast-1'" in capsys.readouterr().err
