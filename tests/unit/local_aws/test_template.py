from __future__ import annotations

from typing import Any

import pytest

from quant_llm_tools.local_aws.cloudformation.errors import ValidationError
from quant_llm_tools.local_aws.cloudformation.intrinsics import Resolver
from quant_llm_tools.local_aws.cloudformation.template import (
    check_rules,
    parameter_values,
    parse,
    wanted_resources,
)

Json = Any
VALUES = {"AWS::Region": "eu-west-1", "Name": "moh", "Zones": ["a", "b"], "AWS::AccountId": "1"}


def resolver(**template: Json) -> Resolver:
    return Resolver(template, VALUES, lambda name: f"ref:{name}", lambda name, what: f"att:{name}.{what}")


def no_ssm(name: str) -> str:
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Ref": "Name"}, "moh"),
        ({"Ref": "Bucket"}, "ref:Bucket"),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, "att:Bucket.Arn"),
        ({"Fn::GetAtt": "Bucket.A.B"}, "att:Bucket.A.B"),
        ({"Fn::Sub": "${Name}/${Bucket}/${Bucket.Arn}/${!Literal}/${AWS::Region}"}, None),
        ({"Fn::Sub": ["${x}-${Name}", {"x": {"Ref": "Bucket"}}]}, "ref:Bucket-moh"),
        ({"Fn::Join": [":", ["a", {"Ref": "Name"}, True, 1]]}, "a:moh:true:1"),
        ({"Fn::Split": ["-", "a-b"]}, ["a", "b"]),
        ({"Fn::Select": ["1", {"Ref": "Zones"}]}, "b"),
        ({"Fn::If": ["Yes", 1, 2]}, 1),
        ({"Fn::If": ["No", 1, {"Ref": "Name"}]}, "moh"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Name"}, "gpu"]}, 4),
        ({"Fn::Base64": "a"}, "YQ=="),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [1, {"Ref": "AWS::NoValue"}]}, {"b": [1]}),
        # The condition of a policy's statement is no function.
        ({"Condition": {"Bool": {"x": "y"}}}, {"Condition": {"Bool": {"x": "y"}}}),
    ],
)
def test_functions_are_evaluated(expression: Json, value: Json) -> None:
    evaluated = resolver(
        Conditions={
            "Yes": {"Fn::Equals": [{"Ref": "Name"}, "moh"]},
            "No": {"Fn::Not": [{"Condition": "Yes"}]},
        },
        Mappings={"Sizes": {"moh": {"gpu": 4}}},
    ).resolve(expression)
    assert evaluated == (value or "moh/ref:Bucket/att:Bucket.Arn/${Literal}/eu-west-1")


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({"Fn::And": [{"Fn::Equals": ["1", 1]}, {"Fn::Equals": ["a", "b"]}]}, False),
        ({"Fn::Or": [{"Fn::Equals": ["1", 1]}, {"Fn::Equals": ["a", "b"]}]}, True),
        ({"Fn::Contains": [{"Ref": "Zones"}, "b"]}, True),
    ],
)
def test_conditions_are_decided(conditions: Json, holds: bool) -> None:
    assert resolver(Conditions={"C": conditions}).condition("C") is holds


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({"Fn::ImportValue": "x"}, "does not know the intrinsic function Fn::ImportValue"),
        ({"Fn::If": ["Missing", 1, 2]}, "Unresolved condition dependency Missing"),
        ({"Fn::FindInMap": ["Sizes", "a", "b"]}, "Unable to get mapping for Sizes::a::b"),
        ("{{resolve:secretsmanager:x}}", "does not look up dynamic references"),
    ],
)
def test_what_is_not_known_is_an_error_and_not_passed_over(expression: Json, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        resolver().resolve(expression)


def test_yaml_with_short_forms_reads_as_json_does() -> None:
    template = parse(
        """
        Conditions: {C: !Equals [!Ref A, "1"]}
        Resources:
          B:
            Type: AWS::S3::Bucket
            Properties:
              Version: 2012-10-17
              Name: !Sub "${A}-x"
              Arn: !GetAtt A.B.C
              Other: !If [C, !Ref D, !Ref "AWS::NoValue"]
        """
    )
    assert template["Conditions"] == {"C": {"Fn::Equals": [{"Ref": "A"}, "1"]}}
    assert template["Resources"]["B"]["Properties"] == {
        "Version": "2012-10-17",
        "Name": {"Fn::Sub": "${A}-x"},
        "Arn": {"Fn::GetAtt": "A.B.C"},
        "Other": {"Fn::If": ["C", {"Ref": "D"}, {"Ref": "AWS::NoValue"}]},
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "Template format error"),
        ("a: [", "Template format error"),
        ('{"Parameters": {}}', "At least one Resources member must be defined"),
        ('{"Resources": {"A": {}}}', r"\[/Resources/A\] has no Type"),
        ('{"Resources": {"A": {"Type": "T"}}, "Transform": "x"}', "section Transform"),
    ],
)
def test_a_body_that_is_no_template_is_an_error(body: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parse(body)


def test_parameters_are_given_or_default_and_looked_up_and_split() -> None:
    template = {
        "Parameters": {
            "Given": {"Type": "String"},
            "Default": {"Type": "Number", "Default": 3},
            "List": {"Type": "CommaDelimitedList", "Default": "a, b"},
            "Empty": {"Type": "CommaDelimitedList", "Default": ""},
            "Version": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/v"},
        }
    }
    values = parameter_values(template, {"Given": "x"}, lambda name: f"ssm:{name}")
    assert values == {"Given": "x", "Default": "3", "List": ["a", "b"], "Empty": [], "Version": "ssm:/v"}


@pytest.mark.parametrize(
    ("spec", "given", "message"),
    [
        ({"Type": "String"}, {}, r"Parameters: \[P\] must have values"),
        ({"Type": "String"}, {"P": "x", "Q": "y"}, r"Parameters: \[Q\] do not exist in the template"),
        ({"Type": "String", "AllowedValues": ["a"]}, {"P": "b"}, r"one of AllowedValues \[a\], got 'b'"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, {"P": "B1"}, r"must match pattern \[a-z\]\+"),
    ],
)
def test_wrong_parameters_are_errors(spec: Json, given: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parameter_values({"Parameters": {"P": spec}}, given, no_ssm)


def test_a_rule_that_does_not_hold_is_an_error_with_its_description() -> None:
    too_old = {"Fn::Not": [{"Fn::Contains": [["1", "2"], {"Ref": "Version"}]}]}
    template = {"Rules": {"R": {"Assertions": [{"Assert": too_old, "AssertDescription": "run bootstrap"}]}}}

    def check(version: str) -> None:
        check_rules(template, Resolver(template, {"Version": version}, str, lambda name, what: name))

    check("3")
    with pytest.raises(ValidationError, match="rule R: run bootstrap"):
        check("2")


def test_the_order_follows_references_and_the_template() -> None:
    resources = {
        "C": {"Type": "T", "Properties": {"x": [{"Fn::Sub": "${A.Arn}"}]}},
        "B": {"Type": "T", "Properties": {"x": {"Fn::Join": ["", [{"Fn::GetAtt": ["D", "Arn"]}]]}}},
        "A": {"Type": "T"},
        "D": {"Type": "T", "DependsOn": "A", "Properties": {"x": {"Ref": "AWS::Region"}}},
    }
    assert list(wanted_resources({"Resources": resources}, resolver())) == ["A", "C", "D", "B"]


def test_a_resource_whose_condition_does_not_hold_is_not_made() -> None:
    template: Json = {
        "Conditions": {"No": {"Fn::Equals": [1, 2]}},
        "Resources": {
            "A": {"Type": "T", "Condition": "No"},
            "B": {"Type": "T", "DependsOn": "A", "Properties": {"x": {"Fn::If": ["No", {"Ref": "A"}, 1]}}},
        },
    }
    assert list(wanted_resources(template, resolver(**template))) == ["B"]
    template["Resources"]["B"]["Properties"]["x"] = {"Ref": "A"}
    with pytest.raises(ValidationError, match=r"Unresolved resource dependencies \[A\]"):
        wanted_resources(template, resolver(**template))


def test_a_circle_is_an_error_that_names_its_members() -> None:
    resources = {
        "A": {"Type": "T", "Properties": {"x": {"Ref": "B"}}},
        "B": {"Type": "T", "DependsOn": ["A"]},
    }
    with pytest.raises(ValidationError, match=r"Circular dependency between resources: \[A, B\]"):
        wanted_resources({"Resources": resources}, resolver())
