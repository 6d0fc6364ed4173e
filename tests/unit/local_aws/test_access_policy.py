"""Who may do what, by IAM's rules for one account: each rule has a case in which only it decides."""

from __future__ import annotations

from typing import Any

import pytest

from quant_llm_tools.local_aws.access.conditions import CannotEvaluate, hold, wildcard
from quant_llm_tools.local_aws.access.policy import Call, ResourcePolicy, Role, decide

Json = Any

ROLE_ARN = "arn:aws:iam::123456789012:role/repack"
SESSION_ARN = "arn:aws:sts::123456789012:assumed-role/repack/session"
ROOT_ARN = "arn:aws:iam::123456789012:root"
OBJECT = "arn:aws:s3:::weights/models/a/model.tar.gz"
CONTEXT = {
    "s3:prefix": "models/a/",
    "aws:securetransport": "true",
    "s3:tlsversion": "1.3",
    "s3:delimiter": None,
}


def document(*statements: Json) -> Json:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: Json, resource: Json, **more: Json) -> Json:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Json, resource: Json, **more: Json) -> Json:
    return allow(action, resource, **more) | {"Effect": "Deny"}


def role(*statements: Json, boundary: Json = None) -> Role:
    return Role(ROLE_ARN, SESSION_ARN, (document(*statements),) if statements else (), boundary)


def allowed(
    who: Role, policy: ResourcePolicy | None = None, *, action: str = "s3:GetObject", resource: str = OBJECT
) -> bool:
    return decide(who, Call(action, resource, CONTEXT), policy).allowed


READ = allow("s3:GetObject", "arn:aws:s3:::weights/models/*")


def test_nothing_is_allowed_unless_a_policy_says_so() -> None:
    assert not allowed(role())
    assert allowed(role(READ))


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:PutObject", OBJECT),
        ("s3:GetObjectAcl", OBJECT),
        ("s3:GetObject", "arn:aws:s3:::weights/work/a"),
        ("s3:GetObject", "arn:aws:s3:::weights2/models/a"),
        ("s3:GetObject", "arn:aws:s3:::weights/Models/a"),
    ],
)
def test_another_action_or_resource_is_not_allowed(action: str, resource: str) -> None:
    assert not allowed(role(READ), action=action, resource=resource)


def test_actions_are_the_same_in_any_case() -> None:
    assert allowed(role(allow("S3:getobject", "*")))


def test_a_denial_wins_over_any_permission() -> None:
    assert not allowed(role(READ, deny("s3:*", "arn:aws:s3:::weights/*")))
    assert allowed(role(READ, deny("s3:*", "arn:aws:s3:::other/*")))


def test_what_is_left_out_by_not_action_and_not_resource_is_not_meant() -> None:
    assert allowed(role({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}))
    assert not allowed(role({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}))
    assert not allowed(role({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::weights/*"}))


def test_a_condition_that_does_not_hold_says_nothing() -> None:
    own = {"StringLike": {"s3:prefix": "models/a/*"}}
    others = {"StringLike": {"s3:prefix": "models/b/*"}}
    assert allowed(role(allow("s3:*", "*", Condition=own)))
    assert not allowed(role(allow("s3:*", "*", Condition=others)))
    assert allowed(role(READ, deny("s3:*", "*", Condition=others)))
    assert not allowed(role(READ, deny("s3:*", "*", Condition=own)))


def test_a_boundary_allows_nothing_by_itself_and_limits_the_rest() -> None:
    assert not allowed(role(boundary=document(allow("*", "*"))))
    assert allowed(role(READ, boundary=document(allow("s3:*", "*"))))
    assert not allowed(role(READ, boundary=document(allow("kms:*", "*"))))
    assert not allowed(role(READ, boundary=document(allow("*", "*"), deny("s3:*", "*"))))


def test_a_bucket_policy_can_deny_and_can_allow() -> None:
    tls_only = deny("s3:*", "*", Principal={"AWS": "*"}, Condition={"Bool": {"aws:SecureTransport": "false"}})
    assert allowed(role(READ), ResourcePolicy(document(tls_only)))
    for who in ("*", {"AWS": "*"}, {"AWS": [ROLE_ARN]}, {"AWS": SESSION_ARN}):
        assert not allowed(role(READ), ResourcePolicy(document(deny("s3:*", "*", Principal=who))))
        assert allowed(role(), ResourcePolicy(document(allow("s3:*", "*", Principal=who))))


def test_a_bucket_policy_for_others_or_for_the_account_gives_the_role_nothing() -> None:
    for who in (
        {"AWS": ROOT_ARN},
        {"AWS": "arn:aws:iam::123456789012:role/other"},
        {"Service": "s3.amazonaws.com"},
    ):
        assert not allowed(role(), ResourcePolicy(document(allow("s3:*", "*", Principal=who))))


def test_a_key_is_governed_by_its_own_policy() -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/1"
    decrypt = role(allow("kms:Decrypt", key))
    to_account = document(allow("kms:*", "*", Principal={"AWS": ROOT_ARN}))
    to_other = document(allow("kms:*", "*", Principal={"AWS": "arn:aws:iam::123456789012:role/other"}))

    def decrypts(who: Role, policy: Json) -> bool:
        return allowed(who, ResourcePolicy(policy, governs=True), action="kms:Decrypt", resource=key)

    assert decrypts(decrypt, to_account)
    assert not decrypts(role(), to_account)
    assert not decrypts(decrypt, to_other)


@pytest.mark.parametrize(
    ("block", "holds"),
    [
        ({"StringEquals": {"s3:prefix": "models/a/"}}, True),
        ({"StringEquals": {"s3:prefix": ["x", "models/a/"]}}, True),
        ({"StringEquals": {"S3:Prefix": "models/b/"}}, False),
        ({"StringNotEquals": {"s3:prefix": "models/a/"}}, False),
        ({"StringNotLike": {"s3:prefix": ["x", "models/*"]}}, False),
        ({"StringNotLike": {"s3:prefix": "work/*"}}, True),
        ({"NumericLessThan": {"s3:TlsVersion": 1.2}}, False),
        ({"Bool": {"aws:SecureTransport": True}}, True),
        ({"Null": {"s3:prefix": "true"}}, False),
        ({"Null": {"s3:delimiter": "true"}}, True),
        ({"StringEquals": {"s3:delimiter": "/"}}, False),
        ({"StringEqualsIfExists": {"s3:delimiter": "/"}}, True),
        ({"StringNotEquals": {"s3:delimiter": "/"}}, True),
        ({"StringLike": {"s3:prefix": "models/*"}, "Bool": {"aws:SecureTransport": "false"}}, False),
    ],
)
def test_conditions(block: Json, holds: bool) -> None:
    assert hold(block, CONTEXT) is holds


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, "aws:PrincipalOrgID"),
        ({"IpAddress": {"s3:prefix": "10.0.0.0/8"}}, "IpAddress"),
        ({"ForAllValues:StringEquals": {"s3:prefix": "x"}}, "ForAllValues:StringEquals"),
        ({"StringLike": {"s3:prefix": "${aws:username}/*"}}, "aws:username"),
    ],
)
def test_what_is_not_built_is_named_and_never_guessed(block: Json, named: str) -> None:
    with pytest.raises(CannotEvaluate, match=named):
        hold(block, CONTEXT)


def test_patterns_have_two_special_characters() -> None:
    assert wildcard("a*c?", "abbbcd")
    assert not wildcard("a?c", "abbc")
    assert not wildcard("[a]", "a")
    assert wildcard("a.c", "a.c")
    assert not wildcard("a.c", "abc")


def test_a_star_in_an_arn_of_a_condition_stays_within_its_part() -> None:
    context = {"aws:sourcearn": "arn:aws:s3:us-east-1:123456789012:x"}
    assert hold({"ArnLike": {"aws:SourceArn": "arn:aws:s3:*:123456789012:*"}}, context)
    assert not hold({"ArnLike": {"aws:SourceArn": "arn:aws:*:x"}}, context)
