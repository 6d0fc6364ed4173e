"""Bucket policies as S3 reads them: a statement whose condition does not hold says nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from quant_llm_tools.local_aws.cloud import Seam

Json = Any

# Loopback stands for the encrypted connection that a client has to AWS.
_CONTEXT: Mapping[str, str] = {"aws:securetransport": "true", "s3:tlsversion": "1.3"}

_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "Bool": lambda actual, wanted: actual == wanted.lower(),
    "NumericEquals": lambda actual, wanted: float(actual) == float(wanted),
    "NumericLessThan": lambda actual, wanted: float(actual) < float(wanted),
    "NumericLessThanEquals": lambda actual, wanted: float(actual) <= float(wanted),
    "NumericGreaterThan": lambda actual, wanted: float(actual) > float(wanted),
    "NumericGreaterThanEquals": lambda actual, wanted: float(actual) >= float(wanted),
}


def seams() -> list[Seam]:
    """moto takes a condition that does not hold for a denial, so "TLS only" locks everybody out."""

    def get_permission(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
        return (
            permission(json.loads(bucket.policy), action, resource)
            if bucket.policy
            else PermissionResult.NEUTRAL
        )

    return [(FakeBucket, "get_permission", get_permission)]


def permission(policy: Mapping[str, Json], action: str, resource: str) -> PermissionResult:
    """What a policy says to everybody.

    Who asks is not known here, so statements for some principals say nothing. Of the condition keys those of
    the connection are known; a statement about others says nothing either.
    """
    statements = _listed(policy["Statement"])
    effects = {statement["Effect"] for statement in statements if _applies(statement, action, resource)}
    if "Deny" in effects:
        return PermissionResult.DENIED
    return PermissionResult.PERMITTED if "Allow" in effects else PermissionResult.NEUTRAL


def _applies(statement: Mapping[str, Json], action: str, resource: str) -> bool:
    if statement.get("Principal") not in ("*", {"AWS": "*"}, {"AWS": ["*"]}):
        return False
    actions, resources = _listed(statement.get("Action", [])), _listed(statement.get("Resource", []))
    return (
        any(fnmatchcase(action.lower(), pattern.lower()) for pattern in actions)
        and any(fnmatchcase(resource, pattern) for pattern in resources)
        and all(
            _holds(operator, key, _listed(wanted))
            for operator, entries in statement.get("Condition", {}).items()
            for key, wanted in entries.items()
        )
    )


def _holds(operator: str, key: str, wanted: list[str]) -> bool:
    compare, actual = _OPERATORS.get(operator.removesuffix("IfExists")), _CONTEXT.get(key.lower())
    if compare is None or actual is None:
        return False
    return any(compare(actual, str(value)) for value in wanted)


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]
