"""Whether a role lets a service of AWS in: its trust policy, which the embedded STS does not look at."""

from __future__ import annotations

import json

from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends

from quant_llm_tools.local_aws.access.conditions import CannotEvaluate, Context, as_list, hold, wildcard
from quant_llm_tools.local_aws.access.policy import Document


def refusal(role_arn: str, service: str) -> str | None:
    """Why a service (`sagemaker.amazonaws.com`) can't assume the role, in a few words; None if it can."""
    _, partition, _, _, account, name = role_arn.split(":", 5)
    try:
        role = iam_backends[account][partition].get_role(name.rpartition("/")[2])
    except NotFoundException:
        return f"there is no role {role_arn}"
    try:
        trusted = trusts(json.loads(role.assume_role_policy_document), service, account)
    except CannotEvaluate as unknown:
        return f"the embedded AWS can not evaluate {unknown}"
    return None if trusted else f"the trust policy of {role_arn} does not allow sts:AssumeRole to {service}"


def trusts(document: Document, service: str, account: str) -> bool:
    """Whether a trust policy lets a service in that asks in the name of an account.

    Raises CannotEvaluate for a condition on anything but the account.
    """
    context: Context = {"aws:sourceaccount": account}
    effects = {
        str(statement["Effect"])
        for statement in as_list(document["Statement"])
        if _is_for(statement, service) and hold(statement.get("Condition", {}), context)
    }
    return effects == {"Allow"}


def _is_for(statement: Document, service: str) -> bool:
    principal = statement["Principal"]
    services = ["*"] if principal == "*" else as_list(principal.get("Service", []))
    actions = [str(action).lower() for action in as_list(statement["Action"])]
    return any(each in ("*", service) for each in services) and any(
        wildcard(action, "sts:assumerole") for action in actions
    )
