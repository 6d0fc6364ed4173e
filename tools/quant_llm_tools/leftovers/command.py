"""`quantllm leftovers`: what an agency's stacks have left behind. It removes nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from quant_llm.errors import QuantLlmError
from quant_llm_tools.agencies import add_agencies, chosen_files

if TYPE_CHECKING:
    from quant_llm.agency import AgencyConfig, DeploymentEnvironment
    from quant_llm_tools.leftovers.describe import Contents, Leftover
    from quant_llm_tools.leftovers.inventory import StackState, Tagged

_DESCRIPTION = """
Lists what carries an agency's tag, is of its stack, and is in no stack any more: the bucket and the key that
a failed first deploy or a deleted stack leaves; and the logs that SageMaker keeps of endpoints that are gone.
Says what each costs where that is known, and prints the commands that remove it. It runs none of them.
"""


class Cloud(Protocol):
    """What is asked of an agency's account and region; `aws.AwsCloud` says more."""

    def tagged(self, agency: str) -> Iterable[Tagged]:
        """Every resource with the agency's tag."""
        ...

    def stack(self, name: str) -> StackState | None:
        """The stack of this name, None when there is none."""
        ...

    def key_description(self, key_id: str) -> str | None:
        """What a key is for; None for one that is about to be deleted."""
        ...

    def contents(self, bucket: str) -> Contents:
        """What is in a bucket."""
        ...

    def images(self, repository: str) -> int:
        """How many images a repository has."""
        ...

    def log_bytes(self, group: str) -> int | None:
        """How much a log group has stored; None when there is no such group."""
        ...


def _aws(environment: DeploymentEnvironment) -> Cloud:
    from quant_llm_tools.leftovers.aws import AwsCloud

    return AwsCloud.connect(environment)


@dataclass(frozen=True)
class Tools:
    """The world outside of the command; a test gives its own."""

    connect: Callable[[DeploymentEnvironment], Cloud] = _aws


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `leftovers`."""
    parser = subparsers.add_parser(
        "leftovers", help="list what failed and deleted stacks left in the account", description=_DESCRIPTION
    )
    add_agencies(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=leftovers)


def leftovers(arguments: argparse.Namespace, tools: Tools | None = None) -> int:
    """Print the leftovers of the agencies; 0 whether there are any or not."""
    from quant_llm.agency import load_agency
    from quant_llm_tools.leftovers.report import document, text

    tools = tools or Tools()
    agencies = [load_agency(path) for path in chosen_files(arguments)]
    found = [(agency, leftovers_of(agency, tools.connect(agency.environment))) for agency in agencies]
    print(json.dumps(document(found), indent=2) if arguments.json else text(found))
    return 0


def leftovers_of(agency: AgencyConfig, cloud: Cloud) -> list[Leftover]:
    """What the agency's stack left; QuantLlmError while it is changing, when nobody can tell."""
    from quant_llm_tools.leftovers.describe import ORDER, describe, log_group
    from quant_llm_tools.leftovers.inventory import left_behind

    stack = cloud.stack(agency.stack_name)
    if stack is not None and stack.status.endswith("_IN_PROGRESS"):
        raise QuantLlmError(
            f"stack {agency.stack_name!r} is in state {stack.status}: look again when it is done"
        )
    region = agency.environment.region
    found = [
        describe(one, cloud, region)
        for one in sorted(
            left_behind(cloud.tagged(agency.agency), agency.agency, agency.stack_name, stack, cloud),
            key=lambda one: (ORDER.index(one.kind) if one.kind in ORDER else len(ORDER), one.arn),
        )
    ]
    held = set() if stack is None else stack.held
    for name in map(agency.endpoint_name, agency.models):
        if any(each.rpartition("/")[2] == name for each in held):
            continue
        for folder in ("Endpoints", "InferenceComponents"):
            group = f"/aws/sagemaker/{folder}/{name}"
            if (stored := cloud.log_bytes(group)) is not None:
                found.append(log_group(group, stored, region))
    return found
