"""`quantllm preflight`: what would make a deploy fail, asked of the account and the hub before it."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quant_llm_tools.agencies import add_agencies, agency_files, chosen_files

if TYPE_CHECKING:
    from quant_llm.agency import AgencyConfig
    from quant_llm_tools.preflight.checks import Account, Locks, Resolve

_DESCRIPTION = """
Asks AWS and the hub, with your credentials and without changing anything, what a deploy needs: the account,
the CDK's bootstrap stack, the permissions boundary, quotas for all agencies of the account and region
together, images, secrets (never their values) and the hub. Exit code 1 when something has to be fixed.
"""


def _account(region: str) -> Account:
    from quant_llm_tools.preflight.aws import AwsAccount

    return AwsAccount(region)


def _resolve(repository: str, revision: str) -> str:
    from quant_llm_tools.preflight.hub import resolve

    return resolve(repository, revision)


@dataclass(frozen=True)
class Tools:
    """The world outside of the command; a test gives its own. `account` is given a region."""

    account: Callable[[str], Account] = _account
    resolve: Resolve = _resolve


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `preflight`."""
    parser = subparsers.add_parser(
        "preflight", help="check account, quotas and hub before a deploy", description=_DESCRIPTION
    )
    add_agencies(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=preflight)


def preflight(arguments: argparse.Namespace, tools: Tools | None = None) -> int:
    """Print what was found; returns the exit code."""
    from quant_llm_tools.preflight.checks import check_agency, demand_of
    from quant_llm_tools.preflight.report import document, has_to_be_fixed, text

    tools = tools or Tools()
    paths = chosen_files(arguments)
    # Those that are not asked for take their share of the quotas too.
    every = {path: _read(path) for path in agency_files([*paths, *(path.parent for path in paths)])}
    account_in = functools.cache(tools.account)
    found = []
    for path in paths:
        agency, locks = every[path]
        account = account_in(agency.environment.region)
        beside = [one for one in every.values() if one[0].environment == agency.environment]
        rows = check_agency(agency, locks, demand=demand_of(beside), account=account, resolve=tools.resolve)
        found.append((agency, list(rows)))
    print(json.dumps(document(found), indent=2) if arguments.json else text(found))
    return 1 if any(has_to_be_fixed(rows) for _, rows in found) else 0


def _read(path: Path) -> tuple[AgencyConfig, Locks]:
    from quant_llm.agency import current_locks, load_agency

    agency = load_agency(path)
    return agency, current_locks(agency, path)
