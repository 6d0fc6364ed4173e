"""Checks of values that are right alone and wrong together, over plain data that may be wrong elsewhere.

Plain data, because a typo in one field must not hide what is wrong with another: one run tells everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quant_llm.agency.adapter_relations import adapter_relations
from quant_llm.agency.aws_names import (
    REGIONS_WITH_INFERENCE_COMPONENTS,
    REGIONS_WITHOUT_BUDGETS,
    regions,
)
from quant_llm.agency.loose import Relation
from quant_llm.agency.loose import get as _get
from quant_llm.agency.problems import HIDDEN, Location, looks_like_secret
from quant_llm.agency.recipe_relations import own_name, quantised_relations, recipe_relations
from quant_llm.names import pascal_case

MAX_ENDPOINT_NAME = 63
"""Characters of a SageMaker endpoint name."""

MAX_LLAMA_CPP_SEQUENCES = 256
"""Sequences that llama.cpp decodes at a time (LLAMA_MAX_SEQ in its src/llama-cparams.h)."""

MAX_ASYNC_CONCURRENCY = 1000
"""SageMaker's bound of the requests at a time that an instance of an asynchronous endpoint is sent."""

ENGINES_WITH_REQUEST_METRICS = ("llama.cpp", "exllamav2")
"""Engines whose containers, built here, log each request's time to its first token."""

ROLLING_LEAST = 2
"""The fewest instances of which half, the most that a batch of SageMaker's rolling update takes, is one."""

_EACH_ONCE = (
    ("alarms", "notify"),
    ("budget", "notify"),
    ("network", "subnet_ids"),
    ("network", "security_group_ids"),
)

_KEEP_AWAY = "no secret in the file: keep it in AWS Secrets Manager"


def relations(data: Any) -> Iterator[Relation]:
    """Everything in the data of an agency file that doesn't fit together."""
    yield from _secrets(data, ())
    yield from _tags(data)
    yield from _boundary(data)
    yield from _budget(data)
    yield from _first_token(data)
    yield from _repeated(data)
    if _get(data, dict, "hub") and data["hub"].get("in_network") is True and "network" not in data:
        yield Relation(("hub", "in_network"), "false, or a `network` to attach the function to")
    yield from recipe_relations(data)
    names: dict[str, int] = {}
    for index, model in enumerate(_get(data, list, "models") or ()):
        at = ("models", index)
        yield from quantised_relations(data, model, at)
        yield from _model_name(data, model, at, names)
        yield from _image(data, model, at)
        yield from _concurrency(model, at)
        yield from _scaling(model, at)
        yield from _zero(data, model, at)
        yield from _mode(data, model, at)
        yield from _deployment(data, model, at)
        yield from adapter_relations(model, at)


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


def _first_token(data: Any) -> Iterator[Relation]:
    models = _get(data, list, "models") or ()
    told = any(
        _get(model, str, "engine") in ENGINES_WITH_REQUEST_METRICS and _get(model, str, "mode") != "async"
        for model in models
    )
    if models and not told and "p90_first_token_seconds" in (_get(data, dict, "alarms") or {}):
        yield Relation(
            ("alarms", "p90_first_token_seconds"),
            "the field left out: no model here answers at once on llama.cpp or exllamav2, and the containers "
            "of vllm and tgi log no first token",
        )


def _repeated(data: Any) -> Iterator[Relation]:
    for at in _EACH_ONCE:
        items = _get(data, list, *at) or []
        for index, item in enumerate(items):
            first = items.index(item)
            if first != index:
                yield Relation((*at, index), f"each one once: {at[-1]}[{first}] is this one")


def _model_name(data: Any, model: Any, at: Location, names: dict[str, int]) -> Iterator[Relation]:
    agency, name = _get(data, str, "agency"), _get(model, str, "name")
    if not name:
        return
    first = names.setdefault(pascal_case(name), int(at[-1]))
    if first != at[-1]:
        yield Relation((*at, "name"), own_name(name, f"models[{first}]", data["models"][first]["name"]))
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
    mins = _mins(scaling)
    for name in _of_zero(scaling):
        if _is_async(model):
            expected = "the field left out with mode: async, where the last instance goes with the queue"
            yield Relation((*at, name), expected)
        elif mins and 0 not in mins.values():
            yield Relation((*at, name), "the field left out unless a min is 0")
    moments: dict[tuple[str | None, str | None], int] = {}
    for index, entry in enumerate(_get(scaling, list, "schedule") or ()):
        entry_at = (*at, "schedule", index)
        yield from _limits(entry, entry_at)
        moment = (_get(entry, str, "cron"), _get(entry, str, "timezone"))
        first = moments.setdefault(moment, index)
        if None not in moment and first != index:
            yield Relation((*entry_at, "cron"), f"a moment of its own: schedule[{first}] has this one")


def _of_zero(scaling: Any) -> Iterator[str]:
    """The fields that are there for a `min` of 0, and are given."""
    if _get(scaling, int, "idle_minutes") is not None:
        yield "idle_minutes"
    if _get(scaling, str, "without_zero") == "one":
        yield "without_zero"


def _mins(scaling: Any) -> dict[Location, int]:
    """Each `min` of a scaling and its schedule, by its place in there."""
    schedule = _get(scaling, list, "schedule") or ()
    places: list[tuple[Location, Any]] = [((), scaling)]
    places += [(("schedule", index), entry) for index, entry in enumerate(schedule)]
    found = {(*place, "min"): _get(entry, int, "min") for place, entry in places}
    return {place: low for place, low in found.items() if low is not None}


def _zero(data: Any, model: Any, at: Location) -> Iterator[Relation]:
    region = _get(data, str, "environment", "region")
    scaling = _get(model, dict, "scaling")
    if region not in regions() or region in REGIONS_WITH_INFERENCE_COMPONENTS or _is_async(model):
        return
    if _get(scaling, str, "without_zero") == "one":
        return
    for place, low in _mins(scaling).items():
        if low == 0:
            expected = (
                f"1 or more in {region}, whose CloudFormation has no inference components by the schemas of "
                "cfn-lint 1.58: or without_zero: one, which takes 0 for 1 there"
            )
            yield Relation((*at, "scaling", *place), expected, "1")


def _deployment(data: Any, model: Any, at: Location) -> Iterator[Relation]:
    deployment = _get(model, str, "deployment")
    least = min(_mins(_get(model, dict, "scaling") or {"min": 1}).values(), default=None)
    if least == 0 and not _may_be_component(data, model):
        least = (
            1  # the fallback, or a refusal that is told at the min; an asynchronous endpoint begins with one
        )
    if deployment == "blue-green" and least == 0:
        expected = (
            "rolling, or a min of 1: SageMaker takes a bad update of an inference component back only so"
        )
        yield Relation((*at, "deployment"), expected, "rolling")
    if deployment == "rolling" and least is not None and 0 < least < ROLLING_LEAST:
        expected = (
            f"blue-green, or at least {ROLLING_LEAST} instances at all times, not {least}: "
            "SageMaker rolls at most half of them at a time"
        )
        yield Relation((*at, "deployment"), expected, "blue-green")


def _is_async(model: Any) -> bool:
    return _get(model, str, "mode") == "async"


def _may_be_component(data: Any, model: Any) -> bool:
    """Whether a `min` of 0 makes the model an inference component."""
    region = _get(data, str, "environment", "region")
    return not _is_async(model) and region in REGIONS_WITH_INFERENCE_COMPONENTS


def _mode(data: Any, model: Any, at: Location) -> Iterator[Relation]:
    captures = _get(model, dict, "capture") is not None
    if _is_async(model):
        if captures:
            expected = "the field left out with mode: async, whose requests and answers are in S3 anyway"
            yield Relation((*at, "capture"), expected)
        concurrency = _get(model, int, "concurrency")
        if concurrency is not None and concurrency > MAX_ASYNC_CONCURRENCY:
            expected = f"at most {MAX_ASYNC_CONCURRENCY} with mode: async, SageMaker's bound"
            yield Relation((*at, "concurrency"), expected, str(MAX_ASYNC_CONCURRENCY))
    elif captures and 0 in _mins(_get(model, dict, "scaling")).values() and _may_be_component(data, model):
        expected = (
            "no capture where a min is 0: SageMaker's documentation has none for inference components. Take "
            "a min of 1, or mode: async"
        )
        yield Relation((*at, "capture"), expected)


def _limits(scaling: Any, at: Location) -> Iterator[Relation]:
    low, high = _get(scaling, int, "min"), _get(scaling, int, "max")
    if low is not None and high is not None and low > high >= 1:
        yield Relation((*at, "max"), f"at least min, which is {low}")
