"""Policies of a template as their smallest statements: one principal, one action, one resource each."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from quant_llm_tools.review.classify.comparison import StackSide
from quant_llm_tools.review.classify.words import text_of

_POLICY_OF_RESOURCE: Final = {
    "AWS::S3::BucketPolicy": ("PolicyDocument", "Bucket"),
    "AWS::KMS::Key": ("KeyPolicy", None),
    "AWS::ECR::Repository": ("RepositoryPolicyText", None),
    "AWS::SecretsManager::ResourcePolicy": ("ResourcePolicy", "SecretId"),
    "AWS::ECR::RegistryPolicy": ("PolicyText", None),
    "AWS::Events::EventBusPolicy": ("Statement", "EventBusName"),
    "AWS::Logs::ResourcePolicy": ("PolicyDocument", None),
    "AWS::S3::AccessPoint": ("Policy", None),
    "AWS::SNS::TopicInlinePolicy": ("PolicyDocument", "TopicArn"),
    "AWS::SNS::TopicPolicy": ("PolicyDocument", "Topics"),
    "AWS::SQS::QueueInlinePolicy": ("PolicyDocument", "Queue"),
    "AWS::SQS::QueuePolicy": ("PolicyDocument", "Queues"),
}
"""Types that hold a policy about themselves or another resource: the property, and what it is about."""

_IDENTITY_POLICIES: Final = {
    "AWS::IAM::Policy": ("Roles", "Users", "Groups"),
    "AWS::IAM::ManagedPolicy": ("Roles", "Users", "Groups"),
    "AWS::IAM::RolePolicy": ("RoleName",),
    "AWS::IAM::UserPolicy": ("UserName",),
    "AWS::IAM::GroupPolicy": ("GroupName",),
}
"""Types that hold a policy of others: the properties that name whose."""

_IDENTITIES: Final = ("AWS::IAM::Role", "AWS::IAM::User", "AWS::IAM::Group")

ASSUME: Final = "sts:AssumeRole"


@dataclass(frozen=True)
class Atom:
    """What one principal may, or with `is_deny` may not, do with one resource, under one condition.

    `is_identity`: of the principal's own policy, not of the resource's. `source` is the construct path of
    what holds the policy.
    """

    principal: str
    action: str
    resource: str
    condition: str
    is_deny: bool
    is_identity: bool
    source: str

    def allows_all_of(self, other: Atom) -> bool:
        """Whether this one lets everything through that the other does."""
        return (
            self.is_deny == other.is_deny
            and self.principal in (other.principal, "*")
            and _covers(self.action.lower(), other.action.lower())
            and _covers(self.resource, other.resource)
            and self.condition in ("", other.condition)
        )


def atoms(side: StackSide) -> dict[str, list[Atom]]:
    """All atoms of a template, by the logical id of the resource that has the policy."""
    return {logical_id: list(_of_resource(side, logical_id)) for logical_id in side.resources}


def _of_resource(side: StackSide, logical_id: str) -> Iterator[Atom]:
    kind = str(side.resources[logical_id]["Type"])
    properties, path = side.properties(logical_id), side.paths[logical_id]
    if kind in _IDENTITY_POLICIES:
        attached = [one for name in _IDENTITY_POLICIES[kind] for one in _list(properties.get(name, ()))]
        for one in attached or [path]:
            document = properties.get("PolicyDocument")
            yield from _of_document(side, document, path, principal=text_of(one, side))
    elif kind in _IDENTITIES:
        role = text_of({"Ref": logical_id}, side)
        yield from _of_document(side, properties.get("AssumeRolePolicyDocument"), path, about=role)
        yield from _of_document(side, properties.get("Policies"), path, principal=role)
        for arn in _branches(properties.get("ManagedPolicyArns", ())):
            yield Atom(role, f"everything in {text_of(arn, side)}", "*", "", False, True, path)
    elif kind == "AWS::IAM::UserToGroupAddition":
        group = text_of(properties.get("GroupName"), side)
        for user in _list(properties.get("Users", ())):
            yield Atom(text_of(user, side), f"everything of the group {group}", "*", "", False, True, path)
    elif kind == "AWS::Lambda::Permission":
        yield _of_permission(side, properties, path)
    elif kind == "AWS::Lambda::Url" and properties.get("AuthType") == "NONE":
        function = text_of(properties.get("TargetFunctionArn"), side)
        yield Atom("*", "lambda:InvokeFunctionUrl", function, "", False, False, path)
    elif kind in _POLICY_OF_RESOURCE:
        name, about = _POLICY_OF_RESOURCE[kind]
        subject = text_of(properties.get(about or "", {"Ref": logical_id}), side)
        yield from _of_document(side, properties.get(name), path, about=subject)


def _of_permission(side: StackSide, properties: Mapping[str, Any], path: str) -> Atom:
    narrowed = {
        key: text_of(properties[key], side)
        for key in ("SourceArn", "SourceAccount", "PrincipalOrgID")
        if key in properties
    }
    return Atom(
        _principal_text(text_of(properties.get("Principal"), side)),
        str(properties.get("Action")),
        text_of(properties.get("FunctionName"), side),
        json.dumps(narrowed, sort_keys=True) if narrowed else "",
        is_deny=False,
        is_identity=False,
        source=path,
    )


def _of_document(
    side: StackSide, document: Any, path: str, *, principal: str | None = None, about: str = "*"
) -> Iterator[Atom]:
    """`principal` is whom the document belongs to, None where the statements name theirs.

    `about` is the resource of a document that belongs to one; trust policies don't name theirs, and the `*`
    of the others means it.
    """
    for statement in _statements(document):
        condition = statement.get("Condition")
        for who in [principal] if principal else _principals(statement, side):
            for action in _many(statement, "Action", side):
                for resource in (
                    _many(statement, "Resource", side)
                    if "Resource" in statement or ("NotResource" in statement)
                    else ["*"]
                ):
                    yield Atom(
                        principal=who,
                        action=action,
                        resource=about if resource == "*" and about != "*" else resource,
                        condition=_condition(condition, side),
                        is_deny=statement.get("Effect") == "Deny",
                        is_identity=principal is not None,
                        source=path,
                    )


def _statements(value: Any) -> Iterator[Mapping[str, Any]]:
    """The statements of a document, which may be JSON text; those within `Fn::If` and the like too."""
    if isinstance(value, str):
        value = _json(value)
    if isinstance(value, list):
        for one in value:
            yield from _statements(one)
    elif isinstance(value, Mapping):
        if "Effect" in value:
            yield value
        else:
            for one in value.values():
                yield from _statements(one)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _branches(value: Any) -> Iterator[Any]:
    """The items of a list, those of both branches of each `Fn::If` in it or in its place."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _branches(one)
    elif isinstance(value, Mapping) and value.keys() == {"Fn::If"}:
        yield from _branches(value["Fn::If"][1:])
    elif value != {"Ref": "AWS::NoValue"}:
        yield value


def _many(statement: Mapping[str, Any], key: str, side: StackSide) -> list[str]:
    """The values of `Action` or `Resource`; of `NotAction` the one value `everything but …`."""
    if f"Not{key}" in statement:
        others = ", ".join(sorted(text_of(one, side) for one in _list(statement[f"Not{key}"])))
        return [f"everything but {others}"]
    return [text_of(one, side) for one in _list(statement.get(key, ()))]


def _principals(statement: Mapping[str, Any], side: StackSide) -> list[str]:
    if "NotPrincipal" in statement:
        return [f"everyone but {text_of(statement['NotPrincipal'], side)}"]
    principal = statement.get("Principal")
    if principal == "*":
        return ["*"]
    return [
        _principal_text(text_of(one, side)) for values in (principal or {}).values() for one in _list(values)
    ]


def _principal_text(text: str) -> str:
    account, found, rest = text.rpartition(":root")
    if found and not rest and account.startswith("arn:"):
        return f"the account {account.rpartition(':')[2]}"
    return text


def _condition(condition: Any, side: StackSide) -> str:
    if not condition:
        return ""
    return "; ".join(
        f"{key} {operator} {', '.join(sorted(text_of(one, side) for one in _list(value)))}"
        for operator, tests in sorted(condition.items())
        for key, value in sorted(tests.items())
    )


def _covers(pattern: str, text: str) -> bool:
    """Whether a pattern of IAM, with `*` and `?`, is at least as wide as another."""
    if pattern == text or pattern == "*":
        return True
    literal = pattern.replace("[", "[[]")
    return not text.startswith("everything ") and fnmatch.fnmatchcase(text, literal)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
