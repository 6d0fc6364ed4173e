"""Findings of the security rules that are accepted, each with the reason a security officer is given."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import IConstruct

_PACK = "AwsSolutions"


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding of cdk-nag's AwsSolutions on a construct and what is below it.

    `rule` is the finding's id, `AwsSolutions-S1`, with the detail in brackets where the rule gives one.
    """
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=f"{_PACK}::{rule}", reason=reason))
