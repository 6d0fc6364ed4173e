"""Cron expressions in AWS's form, and time zones."""

from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError

from quant_llm.agency.schedule import check_cron, check_time_zone


@pytest.mark.parametrize(
    "text",
    [
        "0 8 ? * MON-FRI *",
        "0 19 ? * mon-fri *",
        "0/15 8-18 * * ? 2027",
        "*/5 * * * ? *",
        "0 8,12,18 1,15 JAN,JUL ? 2026-2030",
        "0 8 L * ? *",
        "0 8 LW * ? *",
        "0 8 15W * ? *",
        "0 8 ? * 6L *",
        "0 8 ? * FRI#2 *",
        "0 8 ? NOV-FEB FRI-MON *",
    ],
)
def test_what_aws_takes_is_taken_as_it_is(text: str) -> None:
    assert check_cron(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has 0"),
        ("0 8 * * 1-5", "it has 5"),
        ("0 8 ? * MON * *", "it has 7"),
        ("60 8 ? * MON *", "minutes of 0-59 where it has '60'"),
        ("0 24 ? * MON *", "hours of 0-23 where it has '24'"),
        ("0 18-8 ? * MON *", "hours of 0-23 where it has '18-8'"),
        ("0 8 0 * ? *", "day of month of 1-31 where it has '0'"),
        ("0 8 32W * ? *", "day of month of 1-31 where it has '32W'"),
        ("0 8 1 13 ? *", "month of 1-12 or JAN-DEC where it has '13'"),
        ("0 8 1 JANUARY ? *", "month of 1-12 or JAN-DEC where it has 'JANUARY'"),
        ("0 8 ? * 0 *", "day of week of 1-7 or SUN-SAT where it has '0'"),
        ("0 8 ? * MON#6 *", "day of week of 1-7 or SUN-SAT where it has 'MON#6'"),
        ("0 8 ? * MON 1969", "year of 1970-2199 where it has '1969'"),
        ("0/0 8 ? * MON *", "minutes of 0-59 where it has '0/0'"),
        ("0, 8 ? * MON *", "minutes of 0-59 where it has '0,'"),
        ("1-2-3 8 ? * MON *", "minutes of 0-59 where it has '1-2-3'"),
        ("? 8 ? * MON *", "minutes of 0-59 where it has '?'"),
        ("0 8 * * * *", "'?' for one of day of month and day of week"),
        ("0 8 ? * ? *", "'?' for one of day of month and day of week"),
    ],
)
def test_what_aws_refuses_is_refused_with_the_field(text: str, reason: str) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        check_cron(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["Asia/Singapore", "America/Argentina/Buenos_Aires", "UTC", "Etc/GMT+9"])
def test_time_zones_by_their_canonical_names(name: str) -> None:
    assert check_time_zone(name) == name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("asia/singapore", "Asia/Singapore"),
        ("Singapore", "Asia/Singapore"),
        ("EST5EDT", None),
        ("SGT", None),
        ("+08:00", None),
    ],
)
def test_other_time_zones_are_refused(name: str, meant: str | None) -> None:
    with pytest.raises(PydanticCustomError) as caught:
        check_time_zone(name)
    assert (caught.value.context or {})["nearest"] == meant
