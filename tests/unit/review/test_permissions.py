"""Who may do what that they couldn't: by principal, action, resource and condition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.likeness import Likes
from quant_llm_tools.review.classify.permissions import permissions, sweeping
from quant_llm_tools.review.classify.roles import roles
from quant_llm_tools.review.classify.statements import Atom
from quant_llm_tools.review.model import Change
from quant_llm_tools.review.sides import Environment
from tests.unit.review.templates import STACK, edited, endpoint_template, policy, resource

BEFORE = endpoint_template()
DOCUMENT = "Policy.Properties.PolicyDocument"
TRUST = "Role.Properties.AssumeRolePolicyDocument"
WEIGHTS = "arn:aws:s3:::weights/chat/*"


def found(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    environment = Environment("123456789012", "us-east-1")
    old, new = StackSide(before, environment), StackSide(after, environment)
    return list(permissions(Comparison(STACK, old, new, effects={}), Likes([(STACK, old)])))


def summaries(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    return {one.summary: one.change_class.value for one in found(before, after)}


@pytest.mark.parametrize(
    ("document", "summary"),
    [
        (policy(action="s3:*", resource=WEIGHTS), "may s3:* on arn:aws:s3:::weights/<model>/*"),
        (policy(action=["s3:GetObject", "s3:PutObject"], resource=WEIGHTS), "may s3:PutObject on"),
        (
            policy(action="s3:GetObject", resource="arn:aws:s3:::weights/*"),
            "s3:GetObject on arn:aws:s3:::weights/*",
        ),
        (policy(action="s3:GetObject", resource="*"), "may s3:GetObject on everything"),
        (policy(notAction="iam:*", resource=WEIGHTS), "may everything but iam:* on"),
        (policy(action="s3:GetObject", notResource="arn:aws:s3:::x"), "on everything but arn:aws:s3:::x"),
    ],
)
def test_an_identity_s_policy_that_lets_more_through_is_broader(document: Any, summary: str) -> None:
    said = summaries(BEFORE, edited(BEFORE, {DOCUMENT: document}))
    assert [kind for text, kind in said.items() if summary in text] == ["permissions-broadened"], said


@pytest.mark.parametrize(
    "document",
    [
        policy(action="s3:getobject", resource=WEIGHTS),
        policy(action=["s3:GetObject"], resource=[WEIGHTS, "arn:aws:s3:::weights/chat/a"]),
        {"Statement": [*policy(action="s3:GetObject", resource=WEIGHTS)["Statement"]] * 2},
    ],
)
def test_the_same_permission_written_otherwise_is_not_broader(document: Any) -> None:
    said = summaries(BEFORE, edited(BEFORE, {DOCUMENT: document}))
    assert set(said.values()) <= {"no-effect"}, said


def test_a_condition_that_goes_is_broader_and_one_that_comes_is_not() -> None:
    narrow = policy(
        action="s3:GetObject", resource=WEIGHTS, condition={"Bool": {"aws:SecureTransport": "true"}}
    )
    narrowed = edited(BEFORE, {DOCUMENT: narrow})
    said = summaries(narrowed, BEFORE)
    assert list(said.values()) == ["permissions-broadened"]
    assert "no longer only if aws:SecureTransport Bool true" in next(iter(said))
    assert "permissions-broadened" not in summaries(BEFORE, narrowed).values()


def test_a_permission_that_goes_is_told_of_and_not_as_broader() -> None:
    said = summaries(BEFORE, edited(BEFORE, {DOCUMENT: policy(action="s3:ListBucket", resource=WEIGHTS)}))
    assert (
        said["<model>/Endpoint/Role may s3:ListBucket on arn:aws:s3:::weights/<model>/*"]
        == "permissions-broadened"
    )
    assert len(said) == 1


@pytest.mark.parametrize(
    ("principal", "who"),
    [
        ({"AWS": "arn:aws:iam::999999999999:root"}, "the account 999999999999"),
        ({"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::999999999999:root"}}, "the account 999999999999"),
        ("*", "anyone"),
        ({"Federated": "accounts.google.com"}, "accounts.google.com"),
    ],
)
def test_a_role_that_more_may_assume_is_broader(principal: Any, who: str) -> None:
    said = summaries(BEFORE, edited(BEFORE, {TRUST: policy(action="sts:AssumeRole", principal=principal)}))
    assert said == {f"{who} may assume the role <model>/Endpoint/Role": "permissions-broadened"}


def test_managed_policies_inline_policies_and_statements_within_conditions_count() -> None:
    more = {
        "Role.Properties.ManagedPolicyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"],
        "Role.Properties.Policies": [{"PolicyDocument": policy(action="iam:PassRole", resource="*")}],
        DOCUMENT: {
            "Statement": [{"Fn::If": ["Wide", policy(action="kms:*", resource="*")["Statement"][0], {}]}]
        },
    }
    said = "\n".join(summaries(BEFORE, edited(BEFORE, more)))
    assert "may iam:PassRole and everything in arn:aws:iam::aws:policy/AdministratorAccess on" in said
    assert "kms:* on everything" in said


def test_policies_in_a_place_that_a_condition_chooses_count() -> None:
    inline = {"PolicyDocument": policy(action="iam:PassRole", resource="*")}
    managed = ["arn:aws:iam::aws:policy/AdministratorAccess"]
    more = {
        "Role.Properties.ManagedPolicyArns": {"Fn::If": ["Wide", managed, {"Ref": "AWS::NoValue"}]},
        "Role.Properties.Policies": [{"Fn::If": ["Wide", inline, {"Ref": "AWS::NoValue"}]}],
    }
    (said,) = summaries(BEFORE, edited(BEFORE, more))
    assert "may iam:PassRole and everything in arn:aws:iam::aws:policy/AdministratorAccess on" in said


OPEN = policy(action="s3:GetObject", resource="*", principal="*")


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::ECR::RegistryPolicy", {"PolicyText": OPEN}),
        ("AWS::Events::EventBusPolicy", {"Statement": OPEN["Statement"][0], "EventBusName": "default"}),
        ("AWS::Logs::ResourcePolicy", {"PolicyDocument": json.dumps(OPEN)}),
        ("AWS::S3::AccessPoint", {"Policy": OPEN}),
        ("AWS::SNS::TopicInlinePolicy", {"PolicyDocument": OPEN, "TopicArn": "arn:t"}),
        ("AWS::SQS::QueueInlinePolicy", {"PolicyDocument": OPEN, "Queue": "arn:q"}),
    ],
)
def test_a_policy_of_a_resource_of_any_type_is_read(kind: str, properties: Any) -> None:
    said = summaries(BEFORE, edited(BEFORE, {"Open": resource(kind, "Open", properties)}))
    assert [summary for summary in said if summary.startswith("anyone may s3:GetObject on")], said


def test_a_user_in_another_group_may_what_the_group_may() -> None:
    addition = resource("AWS::IAM::UserToGroupAddition", "Member", {"GroupName": "Admins", "Users": ["a"]})
    said = summaries(BEFORE, edited(BEFORE, {"Member": addition}))
    assert said == {"a may everything of the group Admins on everything": "permissions-broadened"}


@pytest.mark.parametrize(
    ("role", "summary"),
    [
        (
            "arn:aws:iam::123456789012:role/Admin",
            "it runs as arn:aws:iam::123456789012:role/Admin, "
            "a role whose permissions are not in the template",
        ),
        ({"Fn::GetAtt": ["Other", "Arn"]}, "it runs as Other/Role"),
        ({"Fn::GetAtt": ["Role", "Arn"]}, None),
    ],
)
def test_what_runs_as_another_role_is_told_of(role: Any, summary: str | None) -> None:
    other = resource("AWS::IAM::Role", "Other/Role/Resource", {})
    before = edited(BEFORE, {"Other": other})
    after = edited(before, {"Model.Properties.ExecutionRoleArn": role})
    said = list(roles(Comparison(STACK, StackSide(before), StackSide(after), effects={})))
    assert [one.summary for one in said] == ([summary] if summary else [])
    assert {one.change_class.value for one in said} <= {"permissions-broadened"}


@pytest.mark.parametrize(
    ("kind", "properties", "summary"),
    [
        ("AWS::S3::BucketPolicy", {"Bucket": {"Ref": "Bucket"}}, "anyone may s3:GetObject on Models"),
        ("AWS::SNS::TopicPolicy", {"Topics": [{"Ref": "Bucket"}]}, "anyone may s3:GetObject"),
    ],
)
def test_a_new_policy_of_a_resource_is_broader(kind: str, properties: Any, summary: str) -> None:
    document = policy(action="s3:GetObject", resource="*", principal="*")
    new = resource(kind, "Open/Policy", {**properties, "PolicyDocument": document})
    assert any(summary in text for text in summaries(BEFORE, edited(BEFORE, {"Open": new})))


def test_a_function_that_anyone_may_call_is_broader() -> None:
    after = edited(
        BEFORE,
        {
            "Permission": resource(
                "AWS::Lambda::Permission",
                "P",
                {"Action": "lambda:InvokeFunction", "Principal": "*", "FunctionName": "f"},
            ),
            "Url": resource("AWS::Lambda::Url", "U", {"AuthType": "NONE", "TargetFunctionArn": "f"}),
        },
    )
    assert summaries(BEFORE, after) == {
        "anyone may lambda:InvokeFunction on f": "permissions-broadened",
        "anyone may lambda:InvokeFunctionUrl on f": "permissions-broadened",
    }


def denying(condition: Mapping[str, Any], action: str = "s3:*") -> dict[str, Any]:
    document = policy(effect="Deny", action=action, resource="*", principal="*", condition=condition)
    new = resource(
        "AWS::S3::BucketPolicy", "Models/Policy", {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": document}
    )
    return edited(BEFORE, {"BucketPolicy": new})


def test_a_denial_of_requests_without_tls_that_goes_weakens_protection() -> None:
    said = summaries(denying({"Bool": {"aws:SecureTransport": "false"}}), BEFORE)
    assert list(said.values()) == ["protection-weakened"]
    assert "without TLS" in next(iter(said))


def test_another_denial_that_goes_or_shrinks_broadens_permissions() -> None:
    before = denying({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}})
    assert list(summaries(before, BEFORE).values()) == ["permissions-broadened"]
    smaller = denying({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}, action="s3:PutObject")
    assert list(summaries(before, smaller).values()) == ["permissions-broadened"]
    assert (
        summaries(smaller, before) == {} or "permissions-broadened" not in summaries(smaller, before).values()
    )


def test_a_new_model_s_role_like_the_others_is_no_news_and_one_that_may_more_is() -> None:
    def with_second(path: str) -> dict[str, Any]:
        second = {
            "Role2": resource(
                "AWS::IAM::Role",
                "second/Endpoint/Role/Resource",
                BEFORE["Resources"]["Role"]["Properties"],
            ),
            "Policy2": resource(
                "AWS::IAM::Policy",
                "second/Endpoint/Role/DefaultPolicy/Resource",
                {
                    "Roles": [{"Ref": "Role2"}],
                    "PolicyDocument": policy(action="s3:GetObject", resource=f"arn:aws:s3:::weights/{path}"),
                },
            ),
            "Endpoint2": resource(
                "AWS::SageMaker::Endpoint", "second/Endpoint/Resource", {"EndpointName": "moh-second"}
            ),
        }
        return edited(BEFORE, second)

    assert summaries(BEFORE, with_second("second/*")) == {}
    assert list(summaries(BEFORE, with_second("*")).values()) == ["permissions-broadened"]


@pytest.mark.parametrize(
    ("new", "kind"), [(None, "permissions-broadened"), ("arn:other", "permissions-broadened")]
)
def test_another_boundary_or_none_is_broader(new: str | None, kind: str) -> None:
    bounded = edited(BEFORE, {"Role.Properties.PermissionsBoundary": "arn:boundary"})
    after = edited(BEFORE, {"Role.Properties.PermissionsBoundary": new})
    assert list(summaries(bounded, after).values()) == [kind]
    assert list(summaries(BEFORE, bounded).values()) == ["operations-changed"]


def test_of_a_new_stack_only_what_has_no_bounds_is_told() -> None:
    side = StackSide(BEFORE)
    assert list(sweeping(STACK, side)) == []
    wide = StackSide(edited(BEFORE, {DOCUMENT: policy(action="iam:*", resource="*")}))
    assert [one.summary for one in sweeping(STACK, wide)] == ["<model>/Endpoint/Role may iam:* on everything"]


@given(st.lists(st.sampled_from(["s3", ":", "Get", "*", "?", "[", "a"]), min_size=1, max_size=6))
def test_what_allows_something_allows_itself_and_a_star_allows_all(parts: list[str]) -> None:
    action = "".join(parts)
    atom = Atom("p", action, "r", "", is_deny=False, is_identity=True, source="")
    star = Atom("p", "*", "*", "", is_deny=False, is_identity=True, source="")
    assert atom.allows_all_of(atom)
    assert star.allows_all_of(atom)
    assert action == "*" or not atom.allows_all_of(star) or set(action) == {"*"}
