#!/usr/bin/env python3
"""The CDK app: one stack for each agency file.

`-c agency=moh` synthesises that agency alone. `-c agencies_directory=PATH` reads the files from elsewhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import aws_cdk as cdk

from quant_llm.agency import (
    AgencyConfig,
    check_together,
    find_agency_files,
    load_agency,
    locked,
    locked_recipes,
)
from quant_llm.errors import QuantLlmError
from stacks.quant_llm_stack import QuantLlmStack


def build(app: cdk.App) -> list[AgencyConfig]:
    """Add the stacks and return their agencies; one QuantLlmError holds the problems of all files."""
    directory = Path(app.node.try_get_context("agencies_directory") or Path(__file__).parent / "agencies")
    only = app.node.try_get_context("agency")
    files = [path for path in find_agency_files(directory) if only in (None, path.stem)]
    if not files:
        raise QuantLlmError(f"{directory}: no agency file" + (f" named {only}.yaml" if only else ""))
    problems: list[str] = []
    agencies: list[AgencyConfig] = []
    for path in files:
        try:
            agency = load_agency(path)
            agencies.append(agency)
            QuantLlmStack(
                app,
                agency.stack_name,
                agency=agency,
                locks=locked(agency, path),
                recipes=locked_recipes(agency, path),
            )
        except QuantLlmError as error:
            problems.append(str(error))
    problems += [str(problem) for problem in check_together(agencies)]
    if problems:
        raise QuantLlmError("\n".join(problems))
    return agencies


def synthesise(app: cdk.App, agencies: Sequence[AgencyConfig]) -> None:
    """Write the templates; QuantLlmError for a stack of more resources than CloudFormation takes."""
    try:
        app.synth()
    except RuntimeError as error:
        # Only the CDK knows how many there are: it adds some while it writes.
        found = re.search(
            r"resources in stack '(.+?)': (\d+) is greater than allowed maximum of (\d+)", str(error)
        )
        agency = next((one for one in agencies if found and one.stack_name == found[1]), None)
        if found is None or agency is None:
            raise
        expected = f"at most {found[3]}, as many as CloudFormation takes: divide them among two agency files"
        got = f"{len(agency.models)} models that are {found[2]} resources"
        raise QuantLlmError(f"{agency.file}: models: got {got}, expected {expected}") from None


def main() -> int:
    """Synthesise, or say what is wrong and return 1."""
    # The CDK's own check of templates takes 400 MiB and seconds to warn of what cfn-lint finds in the tests.
    app = cdk.App(builtin_cloud_formation_validation=False, stack_traces=False)
    try:
        synthesise(app, build(app))
    except QuantLlmError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
