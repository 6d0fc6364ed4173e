from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from quant_llm_tools.local_aws.cloudformation.changes import differs, find_changes
from tests.unit.local_aws.fake_resources import World, thing, world

Json = Any


@pytest.fixture
def here() -> Iterator[World]:
    with world() as made:
        yield made


def changes(here: World, resources: Mapping[str, Json]) -> dict[str, tuple[str, str | None]]:
    found = [entry["ResourceChange"] for entry in find_changes(here.stack, here.desired(resources))]
    return {entry["LogicalResourceId"]: (entry["Action"], entry.get("Replacement")) for entry in found}


def bucket(name: str, **beside: str) -> dict[str, Json]:
    return {**thing(Type="AWS::S3::Bucket", BucketName=name), **beside}


def test_resources_are_added_modified_and_removed(here: World) -> None:
    here.create({"A": thing("1"), "B": thing("2"), "C": thing()})
    assert changes(here, {"A": thing("1"), "B": thing("3"), "D": thing()}) == {
        "B": ("Modify", "False"),
        "D": ("Add", None),
        "C": ("Remove", None),
    }


def test_a_replacement_changes_what_refers_to_it(here: World) -> None:
    old = {"A": bucket("one"), "B": thing({"Ref": "A"}), "C": thing({"Fn::Sub": "${A.Name}"}), "D": thing()}
    here.create(old)
    assert changes(here, old | {"A": bucket("two")}) == {
        "A": ("Modify", "True"),
        "B": ("Modify", "False"),
        "C": ("Modify", "False"),
    }


@pytest.mark.parametrize(
    ("policy", "action"), [("Delete", "ReplaceAndDelete"), ("Retain", "ReplaceAndRetain")]
)
def test_a_replacement_says_what_becomes_of_the_old_resource(here: World, policy: str, action: str) -> None:
    here.create({"A": bucket("one", UpdateReplacePolicy=policy)})
    (change,) = find_changes(here.stack, here.desired({"A": bucket("two", UpdateReplacePolicy=policy)}))
    assert change["ResourceChange"]["PolicyAction"] == action
    (detail,) = change["ResourceChange"]["Details"]
    assert detail["Target"] == {
        "Attribute": "Properties",
        "Name": "BucketName",
        "RequiresRecreation": "Always",
    }


def test_metadata_alone_is_a_change_without_properties(here: World) -> None:
    here.create({"A": thing()})
    (change,) = find_changes(here.stack, here.desired({"A": {**thing(), "Metadata": {"a": 1}}}))
    assert change["ResourceChange"]["Scope"] == ["Metadata"]
    assert change["ResourceChange"]["Details"] == []


def test_the_same_again_changes_nothing_but_tags_and_outputs_do(here: World) -> None:
    resources = {"A": thing()}
    here.create(resources)
    assert find_changes(here.stack, here.desired(resources)) == []
    assert not differs(here.stack, here.desired(resources), [])
    assert differs(here.stack, here.desired(resources, Tags={"a": "b"}), [])
    assert differs(here.stack, here.desired(resources, Outputs={"X": {"Value": "1"}}), [])
