"""What a month costs: the clock of the schedules, prices that nobody knows, files that can't be read."""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_llm.agency import ScalingConfig
from quant_llm.catalogue import HOURS_A_MONTH, usd_per_hour
from quant_llm.paths import ROOT
from quant_llm_tools.review.agencies import AgencySide, read_side
from quant_llm_tools.review.cost import costs, mean_least, monthly_cost
from quant_llm_tools.review.fit import fits
from quant_llm_tools.review.recurrence import firings

YEAR = 2027
SHARED = ROOT / "tests" / "fixtures" / "agencies"


def days(cron: str, timezone: str = "UTC", year: int = YEAR) -> list[str]:
    return [
        datetime.datetime.fromtimestamp(one, datetime.UTC).strftime("%m-%d %H:%M")
        for one in firings(cron, timezone, year)
    ]


@pytest.mark.parametrize(
    ("cron", "moments"),
    [
        ("0 8 1 1 ? *", ["01-01 08:00"]),
        ("0/30 8-9 1 JAN ? *", ["01-01 08:00", "01-01 08:30", "01-01 09:00", "01-01 09:30"]),
        ("0 8 L FEB ? *", ["02-28 08:00"]),
        ("0 8 LW 2,5 ? *", ["02-26 08:00", "05-31 08:00"]),
        ("0 8 1W 5 ? *", ["05-03 08:00"]),  # the 1st is a Saturday: not before the month begins
        ("0 8 31W 10 ? *", ["10-29 08:00"]),  # the 31st is a Sunday: not after it ends
        ("0 8 31W 2 ? *", []),
        ("0 8 ? 3 FRI#2 *", ["03-12 08:00"]),
        ("0 8 ? 3 6L *", ["03-26 08:00"]),
        ("0 8 ? 2 L *", ["02-06 08:00", "02-13 08:00", "02-20 08:00", "02-27 08:00"]),
        ("0 8 1-3,15 2 ? 2020-2030", ["02-01 08:00", "02-02 08:00", "02-03 08:00", "02-15 08:00"]),
        ("0 8 1 1 ? 2026", []),
        ("0 8 */10 1 ? *", ["01-01 08:00", "01-11 08:00", "01-21 08:00", "01-31 08:00"]),
    ],
)
def test_the_forms_of_the_cron_reference(cron: str, moments: list[str]) -> None:
    assert days(cron) == moments


def test_a_range_of_names_goes_round_the_end_of_the_week() -> None:
    weekdays = {
        datetime.date(YEAR, *map(int, one[:5].split("-"))).weekday() for one in days("0 0 ? * FRI-MON *")
    }
    assert weekdays == {calendar.FRIDAY, calendar.SATURDAY, calendar.SUNDAY, calendar.MONDAY}


def test_time_zones_and_summer_time() -> None:
    assert days("0 8 5 1,7 ? *", "Asia/Singapore") == ["01-05 00:00", "07-05 00:00"]
    assert days("0 8 5 1,7 ? *", "Europe/Berlin") == ["01-05 07:00", "07-05 06:00"]


def scaling(*entries: tuple[str, int], least: int = 1, timezone: str = "UTC") -> ScalingConfig:
    schedule = [{"cron": cron, "timezone": timezone, "min": number, "max": 9} for cron, number in entries]
    return ScalingConfig.model_validate({"min": least, "max": 9, "schedule": schedule})


def test_office_hours_weigh_as_many_hours_as_they_have() -> None:
    office = scaling(("0 8 ? * MON-FRI *", 3), ("0 18 ? * MON-FRI *", 1), timezone="Asia/Singapore")
    # 2027 begins and ends on a Friday, so it has 261 weekdays; Singapore has no summer time.
    expected = 1 + 2 * 261 * 10 / (365 * 24)
    assert mean_least(office, YEAR) == pytest.approx(expected, rel=1e-9)


def test_without_a_schedule_the_least_number_is_always_there() -> None:
    assert mean_least(scaling(least=2), YEAR) == 2


def test_before_the_first_entry_ever_min_holds_and_then_the_last_one_across_the_year() -> None:
    assert mean_least(scaling(("0 0 2 7 ? 2027", 3)), YEAR) == pytest.approx((182 * 1 + 183 * 3) / 365)
    assert mean_least(scaling(("0 0 2 7 ? *", 3), ("0 0 1 12 ? *", 1)), YEAR) == pytest.approx(
        1 + 2 * 152 / 365
    )
    assert mean_least(scaling(("0 0 1 12 ? 2026", 4)), YEAR) == 4


entries = st.tuples(st.integers(0, 23), st.sampled_from(["*", "MON-FRI", "SAT", "1,4"]), st.integers(0, 5))
zones = st.sampled_from(["UTC", "Asia/Singapore", "America/Los_Angeles", "Pacific/Kiritimati"])


@settings(max_examples=25, deadline=None)
@given(st.lists(entries, max_size=3, unique_by=lambda one: one[0]), st.integers(0, 5), zones)
def test_the_mean_lies_between_the_least_and_the_most_of_all_entries(
    found: list[tuple[int, str, int]], least: int, zone: str
) -> None:
    made = scaling(
        *((f"0 {hour} ? * {day} *", number) for hour, day, number in found), least=least, timezone=zone
    )
    numbers = [least, *(number for _, _, number in found)]
    assert min(numbers) - 1e-9 <= mean_least(made, YEAR) <= max(numbers) + 1e-9


def checkout(tmp_path: Path, name: str, edits: Mapping[str, tuple[str, str]]) -> Path:
    """A checkout with the example agencies, edited: file name -> (old, new)."""
    folder = tmp_path / name / "agencies"
    folder.mkdir(parents=True)
    for path in SHARED.iterdir():
        text = path.read_text()
        for old, new in [edits[path.name]] if path.name in edits else []:
            assert old in text
            text = text.replace(old, new)
        (folder / path.name).write_text(text)
    return folder.parent


def test_min_scheduled_and_max_at_the_price_of_the_region(tmp_path: Path) -> None:
    edits = {"default.yaml": ("scaling: {min: 1, max: 2}", "scaling: {min: 1, max: 3}")}
    before = read_side(checkout(tmp_path, "before", {}))
    after = read_side(checkout(tmp_path, "after", edits))
    sides = costs(before, after, year=YEAR)["default"]
    price = usd_per_hour(before["default"].config.models[0].instance_type, "us-east-1")  # type: ignore[union-attr]  # the file is right
    assert price is not None
    assert sides.before is not None
    assert sides.after is not None
    month = round(price.usd_per_hour * HOURS_A_MONTH, 2)
    assert (sides.before.at_min, sides.before.scheduled) == (month, month)
    assert sides.before.at_max == pytest.approx(2 * month, abs=0.02)
    assert sides.after.at_max == pytest.approx(3 * month, abs=0.02)
    assert sides.after.estimated is (price.basis == "estimate")


def test_an_unknown_price_is_said_to_be_unknown_and_never_taken_for_nothing(tmp_path: Path) -> None:
    health = monthly_cost(read_side(checkout(tmp_path, "one", {}))["health"], YEAR)
    assert (health.at_min, health.scheduled, health.at_max, health.budget) == (None, None, None, 6000)
    assert "the price of ml.g5.12xlarge in ap-southeast-1 is not known" in health.unknown


def test_a_file_that_this_version_cannot_read_is_told_without_the_checkouts_path(tmp_path: Path) -> None:
    edits = {"default.yaml": ("engine: llama.cpp", "engine: llama.rs")}
    side = read_side(checkout(tmp_path, "base", edits))
    cost = monthly_cost(side["default"], YEAR)
    assert cost.at_max is None
    assert cost.unknown.startswith("this version can't read the file: agencies/default.yaml:")
    assert "llama.rs" in cost.unknown
    assert "default-smollm2-135m" not in fits(side, {})


def test_a_type_that_is_not_chosen_has_no_price(tmp_path: Path) -> None:
    edits = {"default.yaml": ("instance_type: ml.g4dn.xlarge", "instance_type: auto")}
    side = read_side(checkout(tmp_path, "one", edits))["default"]
    assert monthly_cost(side, YEAR).at_min is not None
    assert monthly_cost(AgencySide(side.config), YEAR).unknown.startswith(
        "smollm2-135m: no instance type is chosen"
    )


def test_a_folder_that_synth_refuses_is_read_nevertheless(tmp_path: Path) -> None:
    directory = checkout(tmp_path, "one", {})
    (directory / "agencies" / "moh.yml").write_text("agency: moh")
    assert "default" in read_side(directory)


def test_an_agency_of_one_side_only_has_no_cost_on_the_other(tmp_path: Path) -> None:
    side = read_side(checkout(tmp_path, "one", {}))
    assert costs({}, side, year=YEAR)["default"].before is None
    assert costs(side, {}, year=YEAR)["default"].after is None


def test_memory_before_and_after_and_why_it_is_unknown(tmp_path: Path) -> None:
    before = read_side(checkout(tmp_path, "before", {}))
    after = read_side(
        checkout(tmp_path, "after", {"default.yaml": ("context_length: 2048", "context_length: 4096")})
    )
    sides = fits(before, after)["default-smollm2-135m"]
    assert sides.before is not None
    assert sides.after is not None
    assert sides.before.needed_mib is not None
    assert sides.after.needed_mib is not None
    assert sides.before.needed_mib < sides.after.needed_mib
    assert sides.before.available_mib == sides.after.available_mib
    without = AgencySide(before["default"].config)
    unknown = fits({}, {"default": without})["default-smollm2-135m"].after
    assert unknown is not None
    assert (unknown.needed_mib, unknown.unknown) == (None, "the model has no current lock")


def test_auto_is_what_it_comes_to(tmp_path: Path) -> None:
    side = read_side(checkout(tmp_path, "one", {}))
    after = fits({}, side)["health-mistral-7b"].after
    assert after is not None
    assert after.instance_type == "ml.g4dn.xlarge" or after.instance_type.startswith("ml.")


def test_a_region_that_has_no_zero_costs_its_one_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No price of such a region is known, so all get the same.
    price = usd_per_hour("ml.g4dn.xlarge", "us-east-1")
    monkeypatch.setattr("quant_llm_tools.review.cost.usd_per_hour", lambda name, region: price)
    costs_at_min = []
    for region in ("us-east-1", "us-west-1"):
        directory = checkout(tmp_path, region, {"default.yaml": ("min: 1", "min: 0, without_zero: one")})
        file = directory / "agencies" / "default.yaml"
        file.write_text(file.read_text().replace("us-east-1", region))
        costs_at_min.append(monthly_cost(read_side(directory)["default"], YEAR).at_min)
    assert price is not None
    assert costs_at_min == [0, round(price.monthly(1), 2)]
