"""How the findings are shown: a table of at most 80 columns for people, a document for programs.

The document: {"agencies": [{"agency", "account", "region", "ok", "checks": [{"check", "asked", "status",
"found", "to_do"}]}], "ok"}, where a status is "ok", "fix" or "could not check", and `ok` is false when
something is to be fixed.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from quant_llm.agency import AgencyConfig
from quant_llm_tools.preflight.row import Row, Status

WIDTH = 80

Found = Sequence[tuple[AgencyConfig, Sequence[Row]]]

_WORDS = {Status.OK: "ok", Status.FIX: "fix this", Status.UNKNOWN: "?"}
_STATUS_WIDTH = max(map(len, _WORDS.values()))


def has_to_be_fixed(rows: Sequence[Row]) -> bool:
    """Whether a deploy would fail for something in these rows."""
    return any(row.status is Status.FIX for row in rows)


def document(found: Found) -> dict[str, Any]:
    """The findings for `--json`."""
    return {
        "agencies": [
            {
                "agency": agency.agency,
                "account": agency.environment.account,
                "region": agency.environment.region,
                "ok": not has_to_be_fixed(rows),
                "checks": [dataclasses.asdict(row) for row in rows],
            }
            for agency, rows in found
        ],
        "ok": not any(has_to_be_fixed(rows) for _, rows in found),
    }


def text(found: Found) -> str:
    """The findings as a table for each agency, and the counts in the last line."""
    lines: list[str] = []
    for agency, rows in found:
        place = f"account {agency.environment.account} in {agency.environment.region}"
        lines.append(f"{agency.agency}: {place}")
        width = max((len(row.check) for row in rows), default=0)
        for row in rows:
            lines += _lines(row, width)
    every = [row.status for _, rows in found for row in rows]
    counts: Mapping[str, int] = {
        "ok": every.count(Status.OK),
        "to fix": every.count(Status.FIX),
        "could not be checked": every.count(Status.UNKNOWN),
    }
    lines.append(", ".join(f"{number} {what}" for what, number in counts.items()))
    return "\n".join(lines)


def _lines(row: Row, width: int) -> list[str]:
    head = f"  {_WORDS[row.status]:{_STATUS_WIDTH}}  {row.check:{width}}  "
    unknown = "could not check: " if row.status is Status.UNKNOWN else ""
    told = [f"{row.asked}: {unknown}{row.found}"] + ([f"-> {row.to_do}"] if row.to_do else [])
    wrapped = [
        line for each in told for line in textwrap.wrap(each, WIDTH - len(head), break_on_hyphens=False)
    ]
    return [(head if number == 0 else " " * len(head)) + line for number, line in enumerate(wrapped)]
