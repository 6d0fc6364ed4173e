"""Whether a role may do something: policy evaluation within one account, as IAM's guide describes it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
Not built, because no stack has them: service control policies, session policies, VPC endpoint policies,
access from another account, NotPrincipal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quant_llm_tools.local_aws.access.conditions import CannotEvaluate, Context, as_list, hold, wildcard

Json = Any
Document = Mapping[str, Json]


@dataclass(frozen=True)
class Role:
    """Who asks: a session of a role, the role's policies, and its permissions boundary if it has one."""

    arn: str
    session_arn: str
    policies: tuple[Document, ...]
    boundary: Document | None = None

    @property
    def account(self) -> str:
        """The account that the role is of."""
        return self.arn.split(":")[4]

    @property
    def account_arn(self) -> str:
        """How a policy names the whole account."""
        partition = self.arn.split(":")[1]
        return f"arn:{partition}:iam::{self.account}:root"


@dataclass(frozen=True)
class Call:
    """What is asked for: `s3:GetObject` on the ARN of a resource, `*` for an action without one."""

    action: str
    resource: str
    context: Context


@dataclass(frozen=True)
class ResourcePolicy:
    """The policy on the resource itself.

    `governs` says that IAM counts for nothing unless this policy hands the decision on to the account: so it
    is with keys of KMS.
    """

    document: Document
    governs: bool = False


@dataclass(frozen=True)
class Decision:
    """The answer, and why in a few words."""

    allowed: bool
    reason: str


def decide(role: Role, call: Call, resource_policy: ResourcePolicy | None = None) -> Decision:
    """Whether the role may; raises CannotEvaluate when a policy says something that is not built here."""
    on_resource = [] if resource_policy is None else _statements([resource_policy.document])
    applying = [each for each in on_resource if _applies(each, call)]
    own = [each for each in _statements(role.policies) if _applies(each, call)]
    boundary = None
    if role.boundary is not None:
        boundary = [each for each in _statements([role.boundary]) if _applies(each, call)]
    to_session = [each for each in applying if _names(each, {role.session_arn, "*"})]
    to_role = [each for each in applying if _names(each, {role.arn})]
    to_account = [each for each in applying if _names(each, {role.account_arn, role.account})]

    if any(_effect(each) == "Deny" for each in [*own, *(boundary or []), *to_session, *to_role, *to_account]):
        return Decision(False, "a statement denies it")
    if to_session:  # the boundary limits what a resource's policy gives to the role, not to its session
        return Decision(True, "the resource's policy allows it to the session")
    if boundary == []:
        return Decision(False, "the role's permissions boundary does not allow it")
    if to_role:
        return Decision(True, "the resource's policy allows it to the role")
    if resource_policy is not None and resource_policy.governs and not to_account:
        return Decision(False, "the resource's policy does not leave it to the account's roles")
    if own:
        return Decision(True, "a policy of the role allows it")
    return Decision(False, "no policy of the role allows it")


def _statements(documents: Iterable[Document]) -> list[Document]:
    return [statement for document in documents for statement in as_list(document["Statement"])]


def _effect(statement: Document) -> str:
    return str(statement["Effect"])


def _applies(statement: Document, call: Call) -> bool:
    """Whether action, resource and conditions of the statement are those of the call."""
    action = call.action.lower()
    actions = _matches(statement, "Action", lambda pattern: wildcard(pattern.lower(), action))
    return (
        actions
        and _matches(statement, "Resource", lambda pattern: wildcard(pattern, call.resource))
        and hold(statement.get("Condition", {}), call.context)
    )


def _matches(statement: Document, element: str, fits: Callable[[str], bool]) -> bool:
    if f"Not{element}" in statement:
        return not any(fits(pattern) for pattern in as_list(statement[f"Not{element}"]))
    patterns = as_list(statement[element])
    if any("${" in pattern for pattern in patterns):
        raise CannotEvaluate(f"the policy variable in {patterns[0]!r}")
    return any(fits(pattern) for pattern in patterns)


def _names(statement: Document, names: set[str]) -> bool:
    """Whether the principals of a resource policy's statement are among these."""
    if "NotPrincipal" in statement:
        raise CannotEvaluate("NotPrincipal")
    principal = statement["Principal"]
    principals = as_list(principal if principal == "*" else principal.get("AWS", []))
    return not names.isdisjoint(principals)
