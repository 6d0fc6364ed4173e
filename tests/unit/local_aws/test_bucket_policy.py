from __future__ import annotations

from typing import Any

import pytest
from moto.iam.access_control import PermissionResult

from quant_llm_tools.local_aws.bucket_policy import permission

ALLOW, DENY, NOTHING = PermissionResult.PERMITTED, PermissionResult.DENIED, PermissionResult.NEUTRAL


def says(effect: str, principal: Any = "*", **condition: Any) -> PermissionResult:
    statement = {
        "Effect": effect,
        "Principal": principal,
        "Action": ["s3:Get*", "s3:PutObject"],
        "Resource": "arn:aws:s3:::models/*",
        **({"Condition": condition} if condition else {}),
    }
    return permission({"Statement": [statement]}, "s3:PutObject", "arn:aws:s3:::models/a/b")


def test_tls_only_lets_requests_through() -> None:
    assert says("Deny", {"AWS": "*"}, Bool={"aws:SecureTransport": "false"}) is NOTHING
    assert says("Deny", NumericLessThan={"s3:TlsVersion": 1.2}) is NOTHING


def test_a_denial_whose_condition_holds_denies() -> None:
    assert says("Deny", Bool={"aws:SecureTransport": "true"}) is DENY
    assert says("Deny", NumericLessThan={"s3:TlsVersion": ["1.4"]}) is DENY
    assert says("Deny") is DENY


def test_statements_for_some_principals_or_about_other_keys_say_nothing() -> None:
    assert says("Deny", {"AWS": "arn:aws:iam::1:role/x"}) is NOTHING
    assert says("Deny", StringEquals={"aws:SourceVpce": "x"}) is NOTHING


@pytest.mark.parametrize(
    ("action", "resource", "result"),
    [
        ("s3:GetObject", "arn:aws:s3:::models/a", ALLOW),
        ("s3:DeleteObject", "arn:aws:s3:::models/a", NOTHING),
        ("s3:GetObject", "arn:aws:s3:::other/a", NOTHING),
    ],
)
def test_action_and_resource_must_match(action: str, resource: str, result: PermissionResult) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:Get*",
        "Resource": "arn:aws:s3:::models/*",
    }
    assert permission({"Statement": statement}, action, resource) is result
