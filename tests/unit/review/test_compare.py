"""Two sides of an app: what is told of them, merged over stacks, and that nothing is passed over."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from quant_llm_tools.review.compare import compare
from quant_llm_tools.review.model import Change, ChangeClass
from quant_llm_tools.review.sides import Environment, Side
from tests.unit.review.templates import (
    STACK,
    changes,
    classes,
    edited,
    endpoint_template,
    policy,
    resource,
    side,
)

BEFORE = endpoint_template()


def by_class(found: tuple[Change, ...], name: str) -> Change:
    (one,) = [change for change in found if change.change_class.value == name]
    return one


def test_nothing_is_told_of_the_same_templates() -> None:
    assert changes(BEFORE, copy.deepcopy(BEFORE)) == ()


def test_an_endpoint_rolls_when_a_resource_far_behind_it_changes() -> None:
    # The way of an image that the stack builds: none of the resources between has another text.
    image = {
        "Image": resource("Custom::EngineImageDigest", "Image-x/Image/Pushed/Default", {"Tag": "1"}),
        "Model.Properties.PrimaryContainer.Image": {"Fn::GetAtt": ["Image", "ImageUri"]},
    }
    before = edited(BEFORE, image)
    found = changes(before, edited(before, {"Image.Properties.Tag": "2"}))
    rolls = by_class(found, "endpoint-rolls")
    assert rolls.resource == "chat/Endpoint/Resource"
    assert "another image" in rolls.summary
    assert "estimate" in rolls.effect


def test_a_replaced_model_and_configuration_are_no_destruction() -> None:
    found = changes(BEFORE, edited(BEFORE, {"Model.Properties.PrimaryContainer.Environment.A": "2"}))
    assert classes(found) == {"endpoint-rolls"}
    assert (found[0].before, found[0].after) == ({"Environment.A": "1"}, {"Environment.A": "2"})


def test_another_name_or_no_endpoint_breaks_clients() -> None:
    renamed = by_class(
        changes(BEFORE, edited(BEFORE, {"Endpoint.Properties.EndpointName": "moh-talk"})), "endpoint-replaced"
    )
    assert (renamed.before, renamed.after) == ("moh-chat", "moh-talk")
    gone = by_class(changes(BEFORE, edited(BEFORE, {"Endpoint": None})), "endpoint-replaced")
    assert (gone.before, gone.after) == ("moh-chat", None)


@pytest.mark.parametrize(
    ("edits", "summary", "effect"),
    [
        ({"Bucket": None}, "the bucket leaves the stack", "stays in the account"),
        (
            {"Bucket.Properties.BucketName": "other"},
            "replaced by an empty one: BucketName",
            "stays in the account",
        ),
        ({"Key": None}, "the key leaves the stack", "stays in the account"),
    ],
)
def test_what_holds_data_and_goes_is_told_of_with_what_becomes_of_it(
    edits: Mapping[str, Any], summary: str, effect: str
) -> None:
    change = by_class(changes(BEFORE, edited(BEFORE, edits)), "stateful-removed")
    assert summary in change.summary
    assert effect in change.effect


def test_what_is_deleted_for_good_is_said_to_be() -> None:
    doomed = edited(BEFORE, {"Bucket.DeletionPolicy": "Delete", "Bucket.UpdateReplacePolicy": "Delete"})
    gone = by_class(changes(doomed, edited(doomed, {"Bucket": None})), "stateful-removed")
    assert gone.effect == "The bucket is deleted with all that it holds."


def test_the_same_change_in_many_stacks_is_one_and_differences_are_spelled_out() -> None:
    stacks = [f"QuantLlmStack-a{number}" for number in range(5)]
    after = {stack: edited(BEFORE, {"Key.Properties.EnableKeyRotation": False}) for stack in stacks}
    after[stacks[4]] = edited(after[stacks[4]], {"Bucket.Properties.VersioningConfiguration": None})
    found = compare(
        Side(name="base", templates=dict.fromkeys(stacks, BEFORE)), Side(name="head", templates=after)
    )
    assert [(one.summary, one.stacks) for one in found] == [
        ("the key is no longer rotated", tuple(stacks)),
        ("the bucket no longer keeps versions", (stacks[4],)),
    ]


def test_the_same_change_of_many_models_of_other_names_is_one() -> None:
    def template(model: str, value: str) -> dict[str, Any]:
        text = json.dumps(edited(BEFORE, {"Model.Properties.PrimaryContainer.Environment.A": value}))
        return json.loads(text.replace("chat/", f"{model}/").replace("moh-chat", f"moh-{model}"))  # type: ignore[no-any-return]  # an object

    stacks = {f"QuantLlmStack-{model}": model for model in ("a", "b", "c", "d")}
    found = compare(
        Side(name="base", templates={stack: template(model, "1") for stack, model in stacks.items()}),
        Side(name="head", templates={stack: template(model, "2") for stack, model in stacks.items()}),
    )
    assert [(one.resource, one.stacks) for one in found] == [("*/Endpoint/Resource", tuple(stacks))]


def test_a_stack_that_moves_is_one_change_and_not_one_of_every_arn() -> None:
    before = edited(
        BEFORE, {"Policy.Properties.PolicyDocument": policy(action="s3:Get", resource="us-east-1")}
    )
    after = edited(
        BEFORE, {"Policy.Properties.PolicyDocument": policy(action="s3:Get", resource="eu-west-1")}
    )
    (change,) = compare(side(before), side(after, region="eu-west-1"))
    assert change.change_class is ChangeClass.ENDPOINT_REPLACED
    assert change.summary == "the stack moves from us-east-1 to eu-west-1"


def test_a_live_side_without_environments_or_files_compares_as_well() -> None:
    after = edited(BEFORE, {"Key.Properties.EnableKeyRotation": False})
    found = compare(Side(name="deployed", templates={STACK: BEFORE}), side(after))
    assert classes(found) == {"protection-weakened"}


def test_stacks_that_come_and_go_are_told_of_as_wholes() -> None:
    both = {"QuantLlmStack-a": BEFORE}
    found = compare(
        Side(name="base", templates=both | {"QuantLlmStack-old": BEFORE}),
        Side(name="head", templates=both | {"QuantLlmStack-new": BEFORE}),
    )
    assert [(one.change_class.value, one.stacks, one.summary) for one in found] == [
        ("stack-added", ("QuantLlmStack-new",), "a new stack with 1 endpoint on ml.g5.xlarge"),
        (
            "stack-removed",
            ("QuantLlmStack-old",),
            "the app no longer has this stack with 1 endpoint on ml.g5.xlarge",
        ),
    ]


def test_a_head_that_is_refused_is_the_one_change() -> None:
    (change,) = compare(side(BEFORE), Side(name="head", refusal="agencies/moh.yaml:3: wrong"))
    assert (change.change_class, change.summary) == (ChangeClass.REFUSED, "agencies/moh.yaml:3: wrong")


def test_a_base_that_is_refused_leaves_new_stacks() -> None:
    found = compare(Side(name="base", refusal="wrong"), side(BEFORE))
    assert classes(found) == {"stack-added"}


@pytest.mark.parametrize(
    "edits", [{"Key.Metadata.note": "x"}, {"Key.Metadata.aws:cdk:path": f"{STACK}/Models/Other/Resource"}]
)
def test_what_only_the_template_shows_has_no_effect(edits: Mapping[str, Any]) -> None:
    assert classes(changes(BEFORE, edited(BEFORE, edits))) == {"no-effect"}


def test_an_order_of_deployment_among_what_was_there_is_noise_and_with_what_comes_is_silent() -> None:
    assert classes(changes(BEFORE, edited(BEFORE, {"Model.DependsOn": ["Key"]}))) == {"no-effect"}
    topic = resource("AWS::SNS::Topic", "Topic", {})
    found = changes(BEFORE, edited(BEFORE, {"Topic": topic, "Model.DependsOn": ["Topic"]}))
    assert classes(found) == {"operations-changed"}


def test_no_difference_in_a_template_is_passed_over() -> None:
    """Every leaf of every resource changed, dropped, and every resource dropped: a stack each."""
    edits: list[Mapping[str, Any]] = []
    for logical_id, one in BEFORE["Resources"].items():
        edits.append({logical_id: None})
        edits.append({f"{logical_id}.DeletionPolicy": "Snapshot"})
        edits.append({f"{logical_id}.Metadata.note": "x"})
        for path, value in _values(one["Properties"], f"{logical_id}.Properties"):
            edits.append({path: None})
            if not isinstance(value, dict | list):
                edits.append({path: "changed"})
    edits.append({"Another": resource("AWS::SQS::Queue", "Queue", {})})
    stacks = {f"QuantLlmStack-s{number}": edited(BEFORE, one) for number, one in enumerate(edits)}
    assert len(stacks) > 40
    found = compare(
        Side(name="base", templates=dict.fromkeys(stacks, BEFORE)), Side(name="head", templates=stacks)
    )
    told = {stack for change in found for stack in change.stacks}
    missed = [edits[number] for number, stack in enumerate(stacks) if stack not in told]
    assert missed == []


def _values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _values(item, f"{path}.{key}")


def test_a_section_of_the_template_and_an_output_are_told_of() -> None:
    after = {**BEFORE, "Conditions": {"A": True}, "Outputs": {"Name": {"Value": "x"}}}
    found = changes(BEFORE, after)
    assert {(one.change_class.value, one.resource) for one in found} == {
        ("operations-changed", "Conditions"),
        ("operations-changed", "Outputs"),
    }


def test_the_most_severe_comes_first() -> None:
    after = edited(
        BEFORE, {"Endpoint": None, "Key.Properties.EnableKeyRotation": False, "Role.Metadata.a": 1}
    )
    severities = [one.change_class.severity for one in changes(BEFORE, after)]
    assert severities == sorted(severities)
    assert len(severities) >= 3


ARTIFACT = resource(
    "Custom::ModelArtifact",
    "chat/Artifact/Resource/Default",
    {
        "Repository": "owner/chat-GGUF",
        "Commit": "c" * 40,
        "Files": [{"Path": "a", "Origin": {"Path": "b", "Repository": "other/adapter", "Commit": "d" * 40}}],
    },
)
SOURCES = f"owner/chat-GGUF at {'c' * 40}, b of other/adapter at {'d' * 40}"


def test_what_is_new_says_which_weights_and_a_stack_where_it_is() -> None:
    whole = edited(BEFORE, {"Artifact": ARTIFACT})
    environment = Environment("123456789012", "eu-west-1")
    after = Side(name="head", templates={STACK: whole}, environments={STACK: environment})
    (stack,) = compare(Side(name="base"), after)
    assert stack.after["weights"] == [SOURCES]
    assert (stack.after["account"], stack.after["region"]) == environment
    kept = {one: whole["Resources"][one] for one in ("Key", "Bucket")}
    added = [one for one in changes({"Resources": kept}, whole) if one.change_class == "endpoint-added"]
    assert [one.after for one in added] == [{"endpoint": "moh-chat", "weights": [SOURCES]}]


def test_a_new_stack_that_trusts_another_account_or_is_protected_less_than_the_others_is_told_of() -> None:
    base = edited(BEFORE, {"Model.Properties.EnableNetworkIsolation": True})
    trust = policy(action="sts:AssumeRole", principal={"AWS": "arn:aws:iam::999999999999:root"})
    edits = {"Role.Properties.AssumeRolePolicyDocument": trust, "Key.Properties.EnableKeyRotation": False}
    after = {STACK: base, "QuantLlmStack-new": edited(BEFORE, edits), "QuantLlmStack-same": base}
    environment = Environment("123456789012", "eu-west-1")
    head = Side(name="head", templates=after, environments=dict.fromkeys(after, environment))
    found = compare(Side(name="base", templates={STACK: base}, environments={STACK: environment}), head)
    told = [one for one in found if one.change_class != "stack-added"]
    assert {one.stacks for one in told} == {("QuantLlmStack-new",)}
    assert sorted(one.summary for one in told) == [
        "new, and unlike the others: the container is no longer isolated from the network",
        "new, and unlike the others: the key is no longer rotated",
        "the account 999999999999 may assume the role <model>/Endpoint/Role",
    ]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"app": "python app.py", "context": {"a": 2}}, []),
        ({"app": "python other.py"}, [("protection-weakened", "app")]),
        ({"app": "python app.py", "build": "make"}, [("protection-weakened", "build")]),
        ({"app": "python app.py", "output": "x"}, [("operations-changed", "output")]),
    ],
)
def test_another_command_of_the_cdk_cli_is_told_of_though_no_template_has_it(
    tmp_path: Path, settings: Mapping[str, Any], told: list[tuple[str, str]]
) -> None:
    def checkout(name: str, content: Mapping[str, Any]) -> Side:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "cdk.json").write_text(json.dumps(content))
        return dataclasses.replace(side(BEFORE), directory=directory)

    base = checkout("base", {"app": "python app.py", "context": {"a": 1}})
    found = compare(base, checkout("head", settings))
    assert [(one.change_class.value, one.resource) for one in found] == told
    assert compare(side(BEFORE), checkout("live", settings)) == ()


def test_a_nested_stack_is_told_of_since_nothing_reads_its_template() -> None:
    nested = edited(BEFORE, {"N": resource("AWS::CloudFormation::Stack", "N", {"TemplateURL": "a"})})
    other = edited(nested, {"N.Properties.TemplateURL": "b"})
    for before, after in ((BEFORE, nested), (nested, other)):
        (change,) = changes(before, after)
        assert (change.change_class.value, change.resource) == ("permissions-broadened", "N")
    assert changes(nested, nested) == ()
    assert classes(compare(Side(name="base"), side(nested))) == {"stack-added", "permissions-broadened"}


@pytest.mark.parametrize(
    ("has_token", "before", "after", "is_told"),
    [
        (True, {}, {"HF_ENDPOINT": "https://mirror.example"}, True),
        (True, {"HF_ENDPOINT": "https://a.example"}, {"HF_ENDPOINT": "https://b.example"}, True),
        (True, {"HF_ENDPOINT": "https://a.example"}, {}, False),
        (False, {}, {"HF_ENDPOINT": "https://mirror.example"}, False),
    ],
)
def test_a_token_that_goes_to_another_host_is_told_of(
    before: dict[str, str], after: dict[str, str], *, has_token: bool, is_told: bool
) -> None:
    def with_hub(variables: dict[str, str]) -> dict[str, Any]:
        token = {"TokenSecretArn": "arn:token"} if has_token else {}
        artifact = resource("Custom::ModelArtifact", "chat/Artifact/Resource/Default", token)
        function = resource("AWS::Lambda::Function", "Repack", {"Environment": {"Variables": variables}})
        return edited(BEFORE, {"Artifact": artifact, "Function": function})

    found = changes(with_hub(before), with_hub(after))
    told = [one.summary for one in found if one.change_class == "protection-weakened"]
    assert told == (["the hub's token is sent to another host"] if is_told else [])
