"""When an entry of a schedule fires: AWS's cron expressions of six fields, over one year.

The expressions are those that `quant_llm.agency.schedule` accepts, after the cron reference of the Amazon
EventBridge user guide. Days of the week count from 1, Sunday.
"""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Iterator
from zoneinfo import ZoneInfo

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY = datetime.timedelta(days=1)


def firings(cron: str, timezone: str, year: int) -> list[float]:
    """The moments of a year, as POSIX timestamps, at which a checked expression fires in its time zone."""
    minutes, hours, day_of_month, month, day_of_week, years = cron.upper().split()
    if year not in _numbers(years, 1970, 2199):
        return []
    zone = ZoneInfo(timezone)
    times = [
        datetime.time(hour, minute, tzinfo=zone)
        for hour in sorted(_numbers(hours, 0, 23))
        for minute in sorted(_numbers(minutes, 0, 59))
    ]
    days = (
        day
        for number in sorted(_numbers(month, 1, 12, _MONTHS))
        for day in _days_of_month(year, number)
        if _on_day_of_month(day_of_month, day) and _on_day_of_week(day_of_week, day)
    )
    return [datetime.datetime.combine(day, time).timestamp() for day in days for time in times]


def _days_of_month(year: int, month: int) -> Iterator[datetime.date]:
    for day in range(1, calendar.monthrange(year, month)[1] + 1):
        yield datetime.date(year, month, day)


def _on_day_of_month(text: str, day: datetime.date) -> bool:
    return text == "?" or any(_is_day_of_month(item, day) for item in text.split(","))


def _is_day_of_month(item: str, day: datetime.date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if item == "L":
        return day.day == last
    if item.endswith("W"):
        wanted = last if item == "LW" else int(item[:-1])
        return wanted <= last and day == _nearest_weekday(day.replace(day=wanted))
    return day.day in _numbers(item, 1, 31)


def _nearest_weekday(day: datetime.date) -> datetime.date:
    """The weekday nearest to a day, in the same month."""
    if day.weekday() < calendar.SATURDAY:
        return day
    other = day - _DAY if day.weekday() == calendar.SATURDAY else day + _DAY
    if other.month == day.month:
        return other
    return day + 2 * _DAY if day.day == 1 else day - 2 * _DAY


def _on_day_of_week(text: str, day: datetime.date) -> bool:
    return text == "?" or any(_is_day_of_week(item, day) for item in text.split(","))


def _is_day_of_week(item: str, day: datetime.date) -> bool:
    number = day.isoweekday() % 7 + 1
    if item == "L":
        return number == len(_DAYS)
    if item.endswith("L"):
        return _numbers(item[:-1], 1, 7, _DAYS) == {number} and (day + 7 * _DAY).month != day.month
    name, nth, count = item.partition("#")
    return number in _numbers(name, 1, 7, _DAYS) and (not nth or (day.day - 1) // 7 + 1 == int(count))


def _numbers(text: str, low: int, high: int, names: tuple[str, ...] = ()) -> set[int]:
    """What `*`, `1,5`, `1-5`, `FRI-MON`, `*/15` and `5/10` come to between the two bounds."""
    found: set[int] = set()
    for item in text.split(","):
        base, _, step = item.partition("/")
        ends = [names.index(end) + low if end in names else end for end in base.split("-")]
        if base == "*":
            first, last = low, high
        else:
            first, last = int(ends[0]), int(ends[-1])
            if step and len(ends) == 1:
                last = high
        # Names may go round the end of the week or year.
        span = high - low + 1
        length = last - first if last >= first else last - first + span
        found |= {low + (first - low + offset) % span for offset in range(0, length + 1, int(step or 1))}
    return found
