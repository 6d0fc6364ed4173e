"""`quantllm artifacts`: list what is in the agencies' buckets, and remove what nobody needs any more."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from quant_llm.errors import QuantLlmError
from quant_llm_tools.agencies import add_agencies, chosen_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from quant_llm.agency import AgencyConfig, DeploymentEnvironment, ModelLock
    from quant_llm_tools.artifacts.inventory import Holding, ObjectVersion

DEFAULT_DAYS = 7

_PRUNE = """
Removes, for good, the artifacts that no lock in the agency files' folder names, or that are not in the format
that the agency file asks for, that no endpoint serves and that are older than some days. Shows them and asks
first. Nothing is removed from any agency when an agency file or a lock can't be read, or the two disagree.
Run it where the files are those that are deployed.
"""


class Cloud(Protocol):
    """What is asked of an agency's account and region; `aws.AwsCloud` says more."""

    def bucket(self, stack: str) -> str | None:
        """The bucket of a stack, None when there is no such stack."""
        ...

    def versions(self, bucket: str) -> Iterable[ObjectVersion]:
        """All object versions of artifacts."""
        ...

    def served(self) -> Mapping[str, Iterable[str]]:
        """The model data's URLs by endpoint."""
        ...

    def delete(self, bucket: str, versions: Sequence[ObjectVersion]) -> None:
        """Delete versions for good."""
        ...


def _aws(environment: DeploymentEnvironment) -> Cloud:
    from quant_llm_tools.artifacts.aws import AwsCloud

    return AwsCloud.connect(environment)


@dataclass(frozen=True)
class Tools:
    """The world outside of the command; a test gives its own."""

    connect: Callable[[DeploymentEnvironment], Cloud] = _aws
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    is_terminal: Callable[[], bool] = lambda: sys.stdin.isatty()
    ask: Callable[[str], str] = input


@dataclass(frozen=True)
class AgencyArtifacts:
    """An agency's bucket, None when its stack is not deployed, and the artifacts in it."""

    agency: AgencyConfig
    bucket: str | None
    holdings: tuple[Holding, ...]

    def that_can_go(self) -> AgencyArtifacts:
        """Without the artifacts that somebody needs."""
        return replace(self, holdings=tuple(one for one in self.holdings if one.can_go))


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `artifacts list` and `artifacts prune`."""
    parser = subparsers.add_parser("artifacts", help="list the model artifacts in S3, remove unused ones")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the artifacts, and who needs them")
    prune = actions.add_parser("prune", help="remove the artifacts that nobody needs", description=_PRUNE)
    prune.add_argument("--yes", action="store_true", help="remove without asking")
    for action, run in ((listing, list_artifacts), (prune, prune_artifacts)):
        add_agencies(action)
        action.add_argument(
            "--older-than",
            type=_days,
            default=DEFAULT_DAYS,
            metavar="DAYS",
            help=f"days for which an artifact is kept in any case (default: {DEFAULT_DAYS})",
        )
        action.add_argument("--json", action="store_true", help="print one JSON document")
        action.set_defaults(run=run)


def _days(text: str) -> float:
    days = float(text)
    if not 0 <= days < 36_500:  # nan too
        raise argparse.ArgumentTypeError(f"expected days from 0, got {text}")
    return days


def list_artifacts(arguments: argparse.Namespace, tools: Tools | None = None) -> int:
    """Print the artifacts of the agencies."""
    tools = tools or Tools()
    from quant_llm_tools.artifacts.report import document, text

    found = [_look(agency, locks, arguments, tools) for agency, locks in _locked_agencies(arguments)]
    print(json.dumps(document(found), indent=2) if arguments.json else text(found))
    return 0


def prune_artifacts(arguments: argparse.Namespace, tools: Tools | None = None) -> int:
    """Remove what nobody needs, once that is agreed to; returns the exit code."""
    tools = tools or Tools()
    from quant_llm_tools.artifacts.report import document, size_text, text

    if arguments.json and not arguments.yes:
        raise QuantLlmError("--json asks no questions, expected --yes beside it")
    agencies = _locked_agencies(arguments)
    found = [_look(agency, locks, arguments, tools).that_can_go() for agency, locks in agencies]
    if not arguments.json:
        print(text(found))
    if not any(one.holdings for one in found):
        if arguments.json:
            print(json.dumps(document(found, freed_bytes=0), indent=2))
        else:
            print("nothing to remove")
        return 0
    if not arguments.yes and not _agreed(found, tools):
        print("nothing was removed")
        return 1
    if not arguments.yes:
        # Somebody may have deployed while the question stood.
        again = [_look(agency, locks, arguments, tools) for agency, locks in _locked_agencies(arguments)]
        found = [_in_both(before, now) for before, now in zip(found, again, strict=True)]
    freed = sum(_remove(one, tools) for one in found)
    if arguments.json:
        print(json.dumps(document(found, freed_bytes=freed), indent=2))
    else:
        print(f"{size_text(freed)} freed")
    return 0


def _locked_agencies(arguments: argparse.Namespace) -> list[tuple[AgencyConfig, Mapping[str, ModelLock]]]:
    """The agencies that are asked for, with every lock that they have.

    QuantLlmError for one whose file or lock can't be read, or whose lock is not the file's.
    """
    from quant_llm.agency import AgencyLock, load_agency, lock_path, locked

    found: list[tuple[AgencyConfig, Mapping[str, ModelLock]]] = []
    for path in chosen_files(arguments):
        agency = load_agency(path)
        served = locked(agency, path)
        lock = AgencyLock.read(lock_path(path))
        sources = {name: recipe.source for name, recipe in lock.quantise.items()}
        found.append((agency, {**lock.models, **served, **sources}))
    return found


def _look(
    agency: AgencyConfig, locks: Mapping[str, ModelLock], arguments: argparse.Namespace, tools: Tools
) -> AgencyArtifacts:
    from quant_llm_tools.artifacts.inventory import artifacts_of, holdings

    cloud = tools.connect(agency.environment)
    bucket = cloud.bucket(agency.stack_name)
    if bucket is None:
        return AgencyArtifacts(agency, None, ())
    found = holdings(
        artifacts_of(cloud.versions(bucket)),
        bucket=bucket,
        locks=locks,
        formats={model.name: model.artifact for model in agency.models}
        | {recipe.name: recipe.artifact for recipe in agency.quantise},
        served=cloud.served(),
        now=tools.now(),
        recent=timedelta(days=arguments.older_than),
    )
    return AgencyArtifacts(agency, bucket, tuple(found))


def _agreed(found: Sequence[AgencyArtifacts], tools: Tools) -> bool:
    from quant_llm_tools.artifacts.report import count, size_text

    if not tools.is_terminal():
        raise QuantLlmError("there is no terminal to ask on, expected --yes")
    artifacts = [holding.artifact for one in found for holding in one.holdings]
    size = size_text(sum(artifact.bytes for artifact in artifacts))
    answer = tools.ask(f"remove {count(len(artifacts), 'artifact')}, {size}, for good? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _in_both(before: AgencyArtifacts, now: AgencyArtifacts) -> AgencyArtifacts:
    """What could go when it was shown, and still can: the same versions of the same objects."""
    agreed = {holding.artifact for holding in before.holdings}
    return replace(now, holdings=tuple(one for one in now.holdings if one.can_go and one.artifact in agreed))


def _remove(agency: AgencyArtifacts, tools: Tools) -> int:
    """Delete artifacts; returns the bytes freed."""
    if agency.bucket is None or not agency.holdings:
        return 0
    versions = [version for holding in agency.holdings for version in holding.artifact.versions]
    tools.connect(agency.agency.environment).delete(agency.bucket, versions)
    return sum(version.bytes for version in versions)
