"""Checks of values that are right alone and wrong together, over plain data that may be wrong elsewhere.

Plain data, because a typo in one field must not hide what is wrong with another: one run tells everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from quant_llm.agency.aws_names import REGIONS_WITHOUT_BUDGETS, regions
from quant_llm.agency.problems import HIDDEN, Location, looks_like_secret

_T = TypeVar("_T")

MAX_ENDPOINT_NAME = 63
"""Characters of a SageMaker endpoint name."""

MAX_LLAMA_CPP_SEQUENCES = 256
"""Sequences that llama.cpp decodes at a time (LLAMA_MAX_SEQ in its src/llama-cparams.h)."""

ROLLING_LEAST = 2
"""The fewest instances of which half, the most that a batch of SageMaker's rolling update takes, is one."""

_KEEP_AWAY = "no secret in the file: keep it in AWS Secrets Manager"


@dataclass(frozen=True)
class Relation:
    """A value that doesn't fit the others, and what would. `got` is what to show in its place."""

    location: Location
    expected: str
    nearest: str | None = None
    got: str | None = None


def relations(data: Any) -> Iterator[Relation]:
    """Everything in the data of an agency file that doesn't fit together."""
    yield from _secrets(data, ())
    yield from _tags(data)
    yield from _boundary(data)
    yield from _budget(data)
    names: dict[str, int] = {}
    for index, model in enumerate(_get(data, list, "models") or ()):
        at = ("models", index)
        yield from _model_name(data, model, at, names)
        yield from _image(data, model, at)
        yield from _concurrency(model, at)
        yield from _scaling(model, at)
        yield from _deployment(model, at)


def _get(data: Any, kind: type[_T], *location: str | int) -> _T | None:
    """The value there, if it is there and of this kind; booleans are no numbers."""
    for part in location:
        if not (isinstance(data, dict) and part in data):
            return None
        data = data[part]
    return data if isinstance(data, kind) and not isinstance(data, bool) else None


def _number(data: Any, *location: str) -> float | None:
    whole = _get(data, int, *location)
    return _get(data, float, *location) if whole is None else whole


def _secrets(data: Any, at: Location) -> Iterator[Relation]:
    if isinstance(data, dict):
        for key, value in data.items():
            if looks_like_secret(key):
                yield Relation((*at, key), _KEEP_AWAY, got=HIDDEN)
            yield from _secrets(value, (*at, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _secrets(value, (*at, index))
    elif isinstance(data, str) and looks_like_secret(data):
        expected = _KEEP_AWAY
        if at[-1:] == ("token_secret",):
            expected = (
                "the name of the secret in AWS Secrets Manager that holds the token, never the token itself"
            )
        yield Relation(at, expected)


def _tags(data: Any) -> Iterator[Relation]:
    seen: dict[str, str] = {}
    for key in _get(data, dict, "tags") or ():
        first = seen.setdefault(key.lower(), key)
        if first != key:
            yield Relation(
                ("tags", key), f"one tag only of '{first}' and '{key}': IAM takes them for the same"
            )


def _boundary(data: Any) -> Iterator[Relation]:
    parts = (_get(data, str, "permissions_boundary") or "").split(":")
    if len(parts) != 6:
        return
    region = _get(data, str, "environment", "region")
    partition = regions().get(region) if region else None
    if partition and parts[1] != partition.id:
        yield Relation(
            ("permissions_boundary",),
            f"an ARN of the partition {partition.id}, where {region} is",
            ":".join([parts[0], partition.id, *parts[2:]]),
        )
    account = _get(data, str, "environment", "account")
    if account and len(account) == 12 and parts[4] not in (account, "aws"):
        yield Relation(("permissions_boundary",), f"a policy of the agency's own account {account}")


def _budget(data: Any) -> Iterator[Relation]:
    region = _get(data, str, "environment", "region")
    if region in REGIONS_WITHOUT_BUDGETS and _get(data, dict, "budget") is not None:
        expected = f"no budget in {region}, whose CloudFormation has none: make one for the tag by hand"
        yield Relation(("budget",), expected)


def _model_name(data: Any, model: Any, at: Location, names: dict[str, int]) -> Iterator[Relation]:
    agency, name = _get(data, str, "agency"), _get(model, str, "name")
    if not name:
        return
    first = names.setdefault(name, int(at[-1]))
    if first != at[-1]:
        yield Relation((*at, "name"), f"a name of its own: models[{first}] has this one")
    endpoint = f"{agency}-{name}"
    if agency and len(endpoint) > MAX_ENDPOINT_NAME:
        yield Relation(
            (*at, "name"),
            f"a name with which the endpoint's, '{endpoint}', has at most {MAX_ENDPOINT_NAME} characters: "
            f"it has {len(endpoint)}",
        )


def _image(data: Any, model: Any, at: Location) -> Iterator[Relation]:
    region = _get(data, str, "environment", "region")
    partition = regions().get(region) if region else None
    registry = (_get(model, str, "image") or "").partition("/")[0]
    account, found, rest = registry.partition(".dkr.ecr.")
    if partition and found and rest != f"{region}.{partition.domain}":
        yield Relation(
            (*at, "image"),
            f"an image in the agency's region, {account}.dkr.ecr.{region}.{partition.domain}/…: "
            "SageMaker takes no other",
        )


def _concurrency(model: Any, at: Location) -> Iterator[Relation]:
    concurrency = _get(model, int, "concurrency")
    if concurrency is None:
        return
    if _get(model, str, "engine") == "llama.cpp" and concurrency > MAX_LLAMA_CPP_SEQUENCES:
        yield Relation((*at, "concurrency"), f"at most {MAX_LLAMA_CPP_SEQUENCES} with llama.cpp")
    target = _number(model, "scaling", "target_concurrency")
    if target is not None and target > concurrency > 0:
        expected = f"at most the concurrency, {concurrency}: an instance never has more at a time"
        yield Relation((*at, "scaling", "target_concurrency"), expected)


def _scaling(model: Any, at: Location) -> Iterator[Relation]:
    scaling, at = _get(model, dict, "scaling"), (*at, "scaling")
    yield from _limits(scaling, at)
    low = _get(scaling, int, "min")
    if _get(scaling, int, "idle_minutes") is not None and low not in (None, 0):
        yield Relation((*at, "idle_minutes"), "the field left out unless min is 0")
    moments: dict[tuple[str | None, str | None], int] = {}
    for index, entry in enumerate(_get(scaling, list, "schedule") or ()):
        entry_at = (*at, "schedule", index)
        yield from _limits(entry, entry_at)
        moment = (_get(entry, str, "cron"), _get(entry, str, "timezone"))
        first = moments.setdefault(moment, index)
        if None not in moment and first != index:
            yield Relation((*entry_at, "cron"), f"a moment of its own: schedule[{first}] has this one")


def _deployment(model: Any, at: Location) -> Iterator[Relation]:
    if _get(model, str, "deployment") != "rolling":
        return
    scaling = _get(model, dict, "scaling") or {"min": 1}
    mins = [_get(entry, int, "min") for entry in (scaling, *(_get(scaling, list, "schedule") or ()))]
    least = min((low for low in mins if low is not None), default=None)
    if least is not None and least < ROLLING_LEAST:
        expected = (
            f"blue-green, or at least {ROLLING_LEAST} instances at all times, not {least}: "
            "SageMaker rolls at most half of them at a time"
        )
        yield Relation((*at, "deployment"), expected, "blue-green")


def _limits(scaling: Any, at: Location) -> Iterator[Relation]:
    low, high = _get(scaling, int, "min"), _get(scaling, int, "max")
    if low is not None and high is not None and low > high >= 1:
        yield Relation((*at, "max"), f"at least min, which is {low}")
