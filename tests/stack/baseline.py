"""What an upgrade must leave where it is: the resources of the example agencies that hold or are held on to.

`python -m tests.stack.baseline` writes the file anew, after a change that is meant. A reviewer then sees
which bucket, key, repository or endpoint an update of a deployed stack would take away or replace.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from quant_llm_tools.local_aws.cloudformation.schemas import create_only
from quant_llm_tools.review.classify.stateful import STATEFUL
from tests.stack.conftest import DEFAULT, FIXTURES, template_of

Json = Any
Stacks = dict[str, dict[str, Json]]

BASELINE = Path(__file__).with_name("baseline.json")
COMMAND: Final = "python -m tests.stack.baseline"
AGENCIES = {"default": DEFAULT, **{name: FIXTURES / f"{name}.yaml" for name in ("health", "justice")}}
# Clients hold the endpoint's name; the rest holds what can't be made again.
KEPT = frozenset(STATEFUL) | {"AWS::SageMaker::Endpoint"}


def current() -> Stacks:
    """The kept resources of each example agency's template, by logical id."""
    return {
        name: {
            logical_id: described(resource)
            for logical_id, resource in template_of(path).to_json()["Resources"].items()
            if resource["Type"] in KEPT
        }
        for name, path in AGENCIES.items()
    }


def described(resource: Mapping[str, Json]) -> Json:
    """Type, what becomes of it when it leaves the template, and the properties whose change replaces it."""
    properties = resource.get("Properties", {})
    return {
        "type": resource["Type"],
        "deleted": resource.get("DeletionPolicy", "Delete"),
        "replaced": resource.get("UpdateReplacePolicy", "Delete"),
        "identity": {
            name: properties[name] for name in sorted(create_only(resource["Type"])) if name in properties
        },
    }


def breaks(before: Stacks, now: Stacks) -> Iterator[str]:
    """What an update would take away from a stack that is deployed, in a line each."""
    for agency, resources in before.items():
        for logical_id, old in resources.items():
            new = now.get(agency, {}).get(logical_id)
            what = f"{agency}: {old['type']} {logical_id}"
            if new is None:
                yield f"{what} is removed"
            elif new["type"] != old["type"]:
                yield f"{what} becomes a {new['type']}"
            else:
                for name in sorted(old["identity"].keys() | new["identity"].keys()):
                    values = [each["identity"].get(name) for each in (old, new)]
                    if values[0] != values[1]:
                        yield f"{what} is replaced: {name} was {values[0]!r}, is {values[1]!r}"
                for policy in ("deleted", "replaced"):
                    if old[policy] != new[policy]:
                        yield f"{what}: when {policy}, {old[policy]} becomes {new[policy]}"


def added(before: Stacks, now: Stacks) -> list[str]:
    """What is there and not in the baseline, so that nobody would see it go."""
    return [
        f"{agency}: {resource['type']} {logical_id}"
        for agency, resources in now.items()
        for logical_id, resource in resources.items()
        if logical_id not in before.get(agency, {})
    ]


def read() -> Stacks:
    """The baseline as it is written down."""
    stacks: Stacks = json.loads(BASELINE.read_text(encoding="utf-8"))
    return stacks


if __name__ == "__main__":
    BASELINE.write_text(json.dumps(current(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
