"""A refresh with a source that is made up: what is written, shown and refused."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from quant_llm.catalogue import PriceList, load_catalogue, usd_per_hour
from quant_llm.errors import QuantLlmError
from quant_llm_tools.prices.command import Tools, refresh, register
from quant_llm_tools.prices.document import Refreshed
from tests.unit.prices.test_aws import product

Json = Any
G5, G4 = "ml.g5.xlarge", "ml.g4dn.xlarge"


@dataclass
class Source:
    """Every hosted type at `usd`, but for those of `special`; None leaves one out."""

    usd: float = 2.0
    special: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    place: str | None = None
    asked: list[str] = field(default_factory=list)

    def products(self, region: str) -> Iterable[Json]:
        self.asked.append(region)
        for one in load_catalogue().hosted_in(region):
            name = one.instance_type
            yield product(name, *self.special.get((region, name), (f"{self.usd}",)))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No agencies about."""
    monkeypatch.chdir(tmp_path)


def run(
    source: Source, capsys: pytest.CaptureFixture[str], *arguments: str, today: str = "2026-11-23"
) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    parsed = parser.parse_args(["prices", "refresh", *arguments])
    code = refresh(parsed, Tools(lambda: source, lambda: today))
    return code, capsys.readouterr().out


def test_the_file_is_written_sorted_and_the_product_reads_it(
    price_list: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert usd_per_hour(G5, "eu-west-1") is None
    code, _ = run(Source(), capsys, "--region", "eu-west-1")
    assert code == 0
    content = price_list.read_text()
    assert content == json.dumps(json.loads(content), indent=2, sort_keys=True) + "\n"
    read = PriceList.read(price_list)
    assert (read.as_of, list(read.prices)) == ("2026-11-23", ["eu-west-1", "us-east-1"])
    price = usd_per_hour(G5, "eu-west-1")
    assert price is not None
    assert (price.usd_per_hour, price.basis, price.as_of) == (2.0, "price list", "2026-11-23")
    assert list(price_list.parent.iterdir()) == [price_list]


def test_changes_are_told_by_region_and_type_with_percent(
    price_list: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = usd_per_hour(G5, "us-east-1")
    assert before is not None
    source = Source(special={("us-east-1", G5): (f"{before.usd_per_hour * 1.1:.4f}",)})
    _, out = run(source, capsys, "--region", "eu-west-1")
    rows = [line.split() for line in out.splitlines()]
    assert ["us-east-1", G5, "1.408", "1.549", "+10.0", "%"] in rows
    assert ["eu-west-1", G5, "unknown", "2"] in rows
    assert max(map(len, out.splitlines())) <= 80
    assert "written; review it and commit it" in " ".join(out.split())


def test_the_same_prices_on_another_day_change_nothing(
    price_list: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Source(), capsys)
    content = price_list.read_bytes()
    for arguments in ((), ("--check",)):
        code, out = run(Source(), capsys, *arguments, today="2027-01-01")
        assert code == 0
        assert "0 changed" in out
        assert "up to date" in out
    assert price_list.read_bytes() == content


def test_check_writes_nothing_and_fails_on_a_change(
    price_list: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(Source(), capsys, "--check")
    assert code == 1
    assert not price_list.exists()
    assert "not up to date, left as it is" in " ".join(out.split())
    run(Source(), capsys)
    content = price_list.read_bytes()
    code, out = run(Source(usd=1.0), capsys, "--check")
    assert code == 1
    assert ["us-east-1", G5, "2", "1", "-50.0", "%"] in [line.split() for line in out.splitlines()]
    assert price_list.read_bytes() == content


def test_regions_of_the_file_are_read_again_so_that_its_date_is_true(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(Source(), capsys, "--region", "eu-west-1")
    source = Source()
    run(source, capsys, "--region", "ap-southeast-1")
    assert source.asked == ["ap-southeast-1", "eu-west-1", "us-east-1"]


def test_regions_of_the_agencies_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from quant_llm.paths import ROOT

    (tmp_path / "agencies").mkdir()
    text = (ROOT / "agencies" / "default.yaml").read_text().replace("us-east-1", "eu-north-1")
    (tmp_path / "agencies" / "default.yaml").write_text(text)
    source = Source()
    run(source, capsys)
    assert source.asked == ["eu-north-1", "us-east-1"]


def test_a_type_that_is_gone_from_the_catalogue_is_told(
    price_list: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    price_list.write_text(PriceList(as_of="2026-01-01", prices={"us-east-1": {"ml.old": 1.0}}).to_json())
    _, out = run(Source(), capsys)
    assert ["us-east-1", "ml.old", "1", "gone"] in [line.split() for line in out.splitlines()]
    assert "ml.old" not in price_list.read_text()


def test_none_and_several_prices_name_every_type_and_write_nothing(
    price_list: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Source(special={("us-east-1", G5): (), ("eu-west-1", G4): ("1", "2")})
    with pytest.raises(QuantLlmError) as caught:
        run(source, capsys, "--region", "eu-west-1")
    assert str(caught.value).splitlines() == [
        f"eu-west-1: {G4}: several prices of hosting by the hour: $1, $2",
        f"us-east-1: {G5}: no on-demand price of hosting by the hour",
    ]
    assert not price_list.exists()


def test_prices_that_are_not_awss_are_kept_out_of_the_products_file(
    price_list: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Source(place="http://localhost:1")
    for arguments in ((), ("--check",)):
        with pytest.raises(QuantLlmError, match=r"from http://localhost:1 and not from AWS.*--output"):
            run(source, capsys, *arguments)
    assert source.asked == []
    other = tmp_path / "other.json"
    code, _ = run(source, capsys, "--output", str(other))
    assert code == 0
    assert other.exists()
    assert not price_list.exists()


def test_an_unknown_region_is_an_error_before_anything_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    source = Source()
    with pytest.raises(QuantLlmError, match=r"got the region 'eu-wset-1'.*did you mean 'eu-west-1'"):
        run(source, capsys, "--region", "eu-wset-1")
    assert source.asked == []


def test_a_file_that_cannot_be_written_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(QuantLlmError, match=r"nowhere/a.json: can't be written: No such file"):
        run(Source(), capsys, "--output", str(tmp_path / "nowhere" / "a.json"))


def test_json_is_the_document(price_list: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(Source(), capsys, "--json")
    refreshed = Refreshed.model_validate_json(out)
    hosted = len(load_catalogue().hosted_in("us-east-1"))
    assert (code, refreshed.read, refreshed.written, refreshed.up_to_date) == (0, hosted, True, False)
    assert refreshed.file == str(price_list)
    change = next(one for one in refreshed.changes if one.instance_type == G5)
    assert change.old is not None
    assert (change.old.basis, change.new) == ("published", 2.0)
    assert change.percent == round((2.0 / change.old.usd_per_hour - 1) * 100, 1)
