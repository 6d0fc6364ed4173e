"""What CloudFormation does to a resource, and to those that refer to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review import templates
from quant_llm_tools.review.templates import Impact, PropertyEffect, effects
from tests.unit.review.templates import edited, endpoint_template, policy

BEFORE = edited(
    endpoint_template(),
    {
        "Custom": {"Type": "Custom::Thing", "Properties": {"Tag": "1"}},
        "ByRef": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "Custom"}}},
        "ByAttribute": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::GetAtt": "Custom.A"}}},
        "BySub": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"DisplayName": {"Fn::Sub": ["${Custom.A}!", {}]}},
        },
        "Apart": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::Sub": "${!Custom.A}"}}},
    },
)


def test_what_refers_to_an_updated_custom_resource_changes_with_it() -> None:
    found = effects({"s": (BEFORE, edited(BEFORE, {"Custom.Properties.Tag": "2"}))})["s"]
    assert found.keys() == {"Custom", "ByRef", "ByAttribute", "BySub"}
    through = {"DisplayName": PropertyEffect(Impact.WILL_UPDATE, ("Custom",))}
    assert [found[one].properties for one in ("ByRef", "ByAttribute", "BySub")] == [through] * 3
    assert found["Custom"].properties["Tag"].through == ()


def test_a_replacement_goes_on_through_what_it_replaces() -> None:
    found = effects({"s": (BEFORE, edited(BEFORE, {"Model.Properties.EnableNetworkIsolation": True}))})["s"]
    assert {one: effect.impact for one, effect in found.items()} == {
        "Model": Impact.WILL_REPLACE,
        "Configuration": Impact.WILL_REPLACE,
        "Endpoint": Impact.WILL_UPDATE,
    }
    assert found["Endpoint"].properties["EndpointConfigName"].through == ("Configuration",)


@pytest.mark.parametrize(
    ("edits", "impact"),
    [
        ({"Bucket": None}, Impact.WILL_ORPHAN),
        ({"Role": None}, Impact.WILL_DESTROY),
        ({"Another": {"Type": "AWS::SNS::Topic"}}, Impact.WILL_CREATE),
        ({"Bucket.Properties.BucketName": "a"}, Impact.WILL_REPLACE),
        ({"Key.Properties.Description": "a"}, Impact.WILL_UPDATE),
    ],
)
def test_what_becomes_of_a_resource(edits: dict[str, Any], impact: Impact) -> None:
    (name,) = {one.partition(".")[0] for one in edits}
    assert effects({"s": (BEFORE, edited(BEFORE, edits))})["s"][name].impact is impact


def test_policies_of_a_form_that_the_library_does_not_know_are_no_hindrance() -> None:
    odd = {"Statement": {"Fn::If": ["A", policy(action="s3:*")["Statement"], {"Ref": "AWS::NoValue"}]}}
    found = effects(
        {
            "odd": (BEFORE, edited(BEFORE, {"Policy.Properties.PolicyDocument": odd})),
            "none": (BEFORE, edited(BEFORE, {"Policy.Properties.PolicyDocument": None})),
        }
    )
    assert [found[stack].keys() for stack in ("odd", "none")] == [{"Policy"}] * 2


def test_no_stacks_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_SCRIPT", Path("/nowhere"))
    assert effects({}) == {}


def test_without_the_library_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / templates._SCRIPT.name  # from where the repository's node_modules are not found
    script.write_text(templates._SCRIPT.read_text())
    monkeypatch.setattr(templates, "_SCRIPT", script)
    with pytest.raises(QuantLlmError, match="cloudformation-diff is not installed: run `make setup`"):
        effects({"s": (BEFORE, BEFORE)})


def test_a_script_that_fails_is_an_error_with_what_it_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "fails.cjs"
    script.write_text("throw new Error('no memory');")
    monkeypatch.setattr(templates, "_SCRIPT", script)
    with pytest.raises(QuantLlmError, match=r"(?s)comparing the templates failed.*no memory"):
        effects({"s": (BEFORE, BEFORE)})
