"""`.quantllm-review.yaml`: changes that people have let through, by path and class, each with a reason.

```yaml
approvals:
  - class: endpoint-replaced
    paths:
      - QuantLlmStack-health/mistral-7b/Endpoint/Resource
    reason: the clients were told, CHG-1234
    expires: "2027-01-31"
```
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from quant_llm.agency.document import Document
from quant_llm.agency.problems import AgencyFileError, Location, Problem, nearest
from quant_llm_tools.review.model import Change, ChangeClass
from quant_llm_tools.review.verdict import Approval

APPROVALS_FILE: Final = ".quantllm-review.yaml"

LEAST_REASON: Final = 10
"""Characters of a reason: `ok` is none."""

NEVER_APPROVED: Final = frozenset({ChangeClass.REFUSED})

_FIELDS = ("class", "paths", "reason", "expires")
# `Resource4F2A9C1B`, as CloudFormation's logical ids end, or the hexadecimal of any digest. Names that are
# all letters or end in a date are none.
_HASH = re.compile(
    r"(?:sha256:)?(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{7,128}"
    r"|[A-Z][A-Za-z0-9]*(?=[0-9]{0,7}[A-F])(?=[A-F]{0,7}[0-9])[0-9A-F]{8}"
)


def marked_new(approvals: Iterable[Approval], before: Iterable[Approval]) -> list[Approval]:
    """The approvals, each that is not word for word in base's file marked as new."""
    known = [replace(one, place="") for one in before]
    return [replace(one, new=replace(one, place="") not in known) for one in approvals]


def paths_of(change: Change) -> list[str]:
    """The paths that approvals of a change must name, all of them."""
    return [f"{stack}/{change.resource}" if change.resource else stack for stack in change.stacks]


def read_approvals(checkout: Path) -> list[Approval]:
    """The approvals in the root of a checkout, none when there is no such file there.

    AgencyFileError with every problem of the file, under its name in the checkout, which may be gone soon.
    """
    path = checkout / APPROVALS_FILE
    if not path.exists():
        return []
    try:
        document = replace(Document.read(path), file=APPROVALS_FILE)
        problems = document.problems or tuple(_problems(document))
    except AgencyFileError as error:
        problems = error.problems
    if problems:
        raise AgencyFileError([replace(one, file=APPROVALS_FILE) for one in problems])
    return [
        _approval(document, ("approvals", index), entry)
        for index, entry in enumerate(document.data["approvals"])
    ]


def _approval(document: Document, at: Location, entry: dict[str, Any]) -> Approval:
    line, _ = document.place(at)
    return Approval(
        ChangeClass(entry["class"]),
        tuple(entry["paths"]),
        entry["reason"],
        _date(entry["expires"]) if "expires" in entry else None,
        f"{document.file}:{line}",
    )


def _problems(document: Document) -> Iterator[Problem]:
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("approvals"), list):
        yield document.wrong(("approvals",), "a mapping with a list of approvals")
        return
    for key in data:
        if key != "approvals":
            yield document.wrong((key,), "approvals and nothing else", got=f"{key!r}", at_key=True)
    for index, entry in enumerate(data["approvals"]):
        at: Location = ("approvals", index)
        if isinstance(entry, dict):
            yield from _entry_problems(document, at, entry)
        else:
            yield document.wrong(at, f"a mapping with {', '.join(_FIELDS)}")


def _entry_problems(document: Document, at: Location, entry: dict[str, Any]) -> Iterator[Problem]:
    for key in entry:
        if key not in _FIELDS:
            fields = f"one of the fields {', '.join(_FIELDS)}"
            yield document.wrong((*at, key), fields, nearest(key, _FIELDS), got=f"{key!r}", at_key=True)
    for key in ("class", "paths", "reason"):
        if key not in entry:
            yield document.problem((*at, key), "required field is missing")
    if "class" in entry:
        yield from _class_problems(document, (*at, "class"), entry["class"])
    if "paths" in entry:
        yield from _path_problems(document, (*at, "paths"), entry["paths"])
    if "reason" in entry and not _is_reason(entry["reason"]):
        yield document.wrong((*at, "reason"), f"a reason of {LEAST_REASON} characters or more")
    if "expires" in entry and _date(entry["expires"]) is None:
        yield document.wrong((*at, "expires"), "a day such as 2027-01-31")


def _class_problems(document: Document, at: Location, value: Any) -> Iterator[Problem]:
    allowed = [str(one) for one in ChangeClass if one not in NEVER_APPROVED]
    if value not in allowed:
        near = nearest(value, allowed) if isinstance(value, str) else None
        yield document.wrong(at, f"one of {', '.join(allowed)}", near)


def _path_problems(document: Document, at: Location, value: Any) -> Iterator[Problem]:
    if not isinstance(value, list) or not value:
        yield document.wrong(at, "a list of paths, <stack>/<construct path>")
        return
    for index, path in enumerate(value):
        if not isinstance(path, str) or not path:
            yield document.wrong((*at, index), "a path, <stack>/<construct path>")
        elif any(_HASH.fullmatch(part) for part in path.split("/")):
            expected = (
                "a path of names, <stack>/<construct path>: a hash says nothing of what it lets through"
            )
            yield document.wrong((*at, index), expected)


def _is_reason(value: Any) -> bool:
    return isinstance(value, str) and len(value.strip()) >= LEAST_REASON


def _date(value: Any) -> datetime.date | None:
    """The day; YAML 1.2 has no dates, but its reader may make one of an unquoted day."""
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    try:
        return datetime.date.fromisoformat(value)
    except (TypeError, ValueError):
        return None
