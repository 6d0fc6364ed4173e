"""Whom a role lets in: each statement has a case in which only it decides."""

from __future__ import annotations

from typing import Any

import pytest

from quant_llm_tools.local_aws.access.conditions import CannotEvaluate
from quant_llm_tools.local_aws.access.trust import trusts

Json = Any

SAGEMAKER, ACCOUNT = "sagemaker.amazonaws.com", "123456789012"
ALLOW = {"Effect": "Allow", "Principal": {"Service": SAGEMAKER}, "Action": "sts:AssumeRole"}


def of_account(account: str) -> Json:
    return {"Condition": {"StringEquals": {"aws:SourceAccount": account}}}


@pytest.mark.parametrize(
    ("statements", "let_in"),
    [
        ([ALLOW], True),
        ([ALLOW | {"Principal": {"Service": ["lambda.amazonaws.com", SAGEMAKER]}}], True),
        ([ALLOW | {"Action": ["sts:TagSession", "sts:*"]}], True),
        ([ALLOW | of_account(ACCOUNT)], True),
        ([ALLOW | of_account("210987654321")], False),
        ([ALLOW | {"Principal": {"Service": "lambda.amazonaws.com"}}], False),
        ([ALLOW | {"Principal": {"AWS": ACCOUNT}}], False),
        ([ALLOW | {"Action": "sts:TagSession"}], False),
        ([ALLOW, ALLOW | {"Effect": "Deny", "Principal": "*"}], False),
        ([], False),
    ],
)
def test_a_role_lets_in_whom_its_trust_policy_names(statements: list[Json], let_in: bool) -> None:
    assert trusts({"Statement": statements}, SAGEMAKER, ACCOUNT) is let_in


def test_a_condition_that_nobody_can_check_is_no_yes() -> None:
    condition = {"StringEquals": {"sts:ExternalId": "secret"}}
    with pytest.raises(CannotEvaluate, match="sts:ExternalId"):
        trusts({"Statement": [ALLOW | {"Condition": condition}]}, SAGEMAKER, ACCOUNT)
