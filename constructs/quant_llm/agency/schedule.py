"""When scaling changes: AWS's cron expressions of six fields, and time zones.

Source: the cron reference of the Amazon EventBridge user guide, to which Application Auto Scaling's refers.
"""

from __future__ import annotations

import functools
import re
import zoneinfo
from dataclasses import dataclass

from quant_llm.agency.forms import wrong
from quant_llm.agency.problems import nearest

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_EXAMPLE = "such as '0 8 ? * MON-FRI *'"
_FORM = f"six fields (minutes, hours, day of month, month, day of week, year), {_EXAMPLE}"


@dataclass(frozen=True)
class _Field:
    """One field: its numbers, their names where it has them, and a pattern of what it alone may say."""

    what: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    special: str = r"(?!)"

    def takes(self, text: str) -> bool:
        return all(self._takes_one(item) for item in text.upper().split(","))

    def _takes_one(self, item: str) -> bool:
        if re.fullmatch(self.special, item):
            return True
        base, slash, step = item.partition("/")
        if slash and not (step.isdecimal() and int(step) > 0):
            return False
        if base == "*":
            return True
        numbers = [self._number(part) for part in base.split("-")]
        # Names may go round the end of the week or year (FRI-MON).
        in_order = numbers == sorted(numbers) or base[0].isalpha()
        return len(numbers) <= 2 and all(self.low <= number <= self.high for number in numbers) and in_order

    def _number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.low
        return int(text) if text.isdecimal() else -1


_FIELDS = (
    _Field("minutes", 0, 59),
    _Field("hours", 0, 23),
    _Field("day of month", 1, 31, special=r"\?|L|LW|(?:[1-9]|[12][0-9]|3[01])W"),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 1, 7, _DAYS, special=rf"\?|L|(?:[1-7]|{'|'.join(_DAYS)})(?:L|#[1-5])"),
    _Field("year", 1970, 2199),
)


def check_cron(text: str) -> str:
    """The expression as it is; a pydantic error that names the field which is wrong."""
    wrapped = re.fullmatch(r"\s*cron\((.*)\)\s*", text)
    if wrapped:
        raise wrong(f"the fields alone, {_EXAMPLE}", wrapped[1])
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise wrong(f"{_FORM}; it has {len(fields)}")
    for field, given in zip(_FIELDS, fields, strict=True):
        if not field.takes(given):
            numbers = f"{field.low}-{field.high}" + (
                f" or {field.names[0]}-{field.names[-1]}" if field.names else ""
            )
            raise wrong(f"{_FORM}, with {field.what} of {numbers} where it has '{given}'")
    if (fields[2] == "?") == (fields[4] == "?"):
        raise wrong(f"'?' for one of day of month and day of week, {_EXAMPLE}")
    return text


@functools.cache
def _time_zones() -> frozenset[str]:
    """The canonical names, which AWS asks for, have an area and a place; 'EST' and the like are old links."""
    return frozenset(name for name in zoneinfo.available_timezones() if "/" in name) | {"UTC"}


def check_time_zone(text: str) -> str:
    """The IANA time zone as it is; a pydantic error with the nearest one when there is none of this name."""
    if text in _time_zones():
        return text
    place = {name.rpartition("/")[2]: name for name in sorted(_time_zones())}
    meant = nearest(text, _time_zones()) or place.get(nearest(text, place, cutoff=0.8) or "")
    raise wrong("an IANA time zone, such as 'Asia/Singapore'", meant)
