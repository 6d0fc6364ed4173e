"""What is live: CloudFormation's templates of the stacks, and the drift that it has found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.model import Drift

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackResourceDriftTypeDef

    from quant_llm_tools.review.sides import Environment


@dataclass(frozen=True)
class Deployed:
    """The templates of the stacks that are there, by name, and what of them has drifted.

    `unseen` are the stacks of which nothing is known, and `notes` says why.
    """

    templates: Mapping[str, Any] = field(default_factory=dict)
    drift: tuple[Drift, ...] = ()
    unseen: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def read_deployed(environments: Mapping[str, Environment]) -> Deployed:
    """Read the live side of these stacks with the credentials of the environment; changes nothing.

    Stacks of other accounts than the credentials' are noted and left out. QuantLlmError when AWS refuses.
    """
    if not environments:
        return Deployed()
    session = boto3.Session()
    templates: dict[str, Any] = {}
    drift: list[Drift] = []
    unseen: dict[str, str] = {}
    try:
        region = next(iter(environments.values())).region
        account = session.client("sts", region_name=region).get_caller_identity()["Account"]
        for stack, environment in environments.items():
            if environment.account != account:
                unseen[stack] = f"of account {environment.account}, and the credentials are of {account}"
                continue
            client = session.client("cloudformation", region_name=environment.region)
            template = _template(client, stack)
            if template is not None:
                templates[stack] = template
                drift += _drift(client, stack)
    except (BotoCoreError, ClientError) as error:
        raise QuantLlmError(f"--deployed: can't read the live stacks: {error}") from None
    notes = tuple(f"{stack} is {why}: it is left out" for stack, why in unseen.items())
    return Deployed(templates, tuple(drift), frozenset(unseen), notes)


def _template(client: CloudFormationClient, stack: str) -> Any:
    """The template as it was given; None when there is no such stack, or none that was ever made."""
    try:
        body: Any = client.get_template(StackName=stack, TemplateStage="Original")["TemplateBody"]
    except ClientError as error:
        # CloudFormation has no error of its own for a stack that isn't there.
        if error.response["Error"]["Code"] == "ValidationError" and "exist" in str(error):
            return None
        raise
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except ValueError:
        raise QuantLlmError(
            f"{stack}: the live template is no JSON, so this stack was not deployed from here"
        ) from None


def _drift(client: CloudFormationClient, stack: str) -> Iterator[Drift]:
    """What the last drift detection found; none was run, no drift is told."""
    (described,) = client.describe_stacks(StackName=stack)["Stacks"]
    if described.get("DriftInformation", {}).get("StackDriftStatus") != "DRIFTED":
        return
    more: dict[str, Any] = {}
    while True:
        page = client.describe_stack_resource_drifts(
            StackName=stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"], **more
        )
        yield from (_drifted(stack, one) for one in page["StackResourceDrifts"])
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


def _drifted(stack: str, one: StackResourceDriftTypeDef) -> Drift:
    differences = tuple(
        (found["PropertyPath"], found["ExpectedValue"], found["ActualValue"])
        for found in one.get("PropertyDifferences", [])
    )
    resource = f"{one['LogicalResourceId']} ({one['ResourceType']})"
    return Drift(stack, resource, one["StackResourceDriftStatus"].lower(), differences)
