"""Findings of the security rules that are accepted, each with the reason a security officer is given."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import IConstruct

_OF_EVERY_STACK = {
    "NIST.800.53.R5-IAMNoInlinePolicy": "Each policy says what one role may do with this stack's resources, "
    "and is made, reviewed and removed with it. A managed policy could be attached to others.",
    "NIST.800.53.R5-CloudWatchLogGroupEncrypted": "CloudWatch Logs encrypts every log group with its own "
    "keys. These hold the progress of builds and of downloads from the hub: no prompts, answers or weights.",
}


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding of cdk-nag's packs on a construct and what is below it.

    `rule` is the finding's id, which starts with its pack's: `AwsSolutions-S1`, `NIST.800.53.R5-LambdaDLQ`;
    with the detail in brackets where the rule gives one. docs/security-exceptions.md lists them all.
    """
    pack = rule.partition("-")[0]
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=f"{pack}::{rule}", reason=reason))


def acknowledge_for_stack(stack: cdk.Stack) -> None:
    """Accept what arises in many places of a stack for one reason."""
    for rule, reason in _OF_EVERY_STACK.items():
        acknowledge(stack, rule, reason)
