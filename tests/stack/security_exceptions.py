"""The security findings that are accepted, out of cdk-nag's report: docs/security-exceptions.md.

`python -m tests.stack.security_exceptions` writes the page anew.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks

from quant_llm.agency import load_agency, locked, locked_recipes
from quant_llm.paths import ROOT
from stacks.quant_llm_stack import QuantLlmStack
from tests.stack.conftest import DEFAULT, FIXTURES, context

PAGE = ROOT / "docs" / "security-exceptions.md"

_HEAD = """\
<!-- Written by `python -m tests.stack.security_exceptions`; a test checks that it is current. -->
# Security findings that are accepted

The stack is checked with two packs of rules of [cdk-nag](https://github.com/cdklabs/cdk-nag): AwsSolutions
and NIST 800-53 R5. A finding is mended, or accepted here, in the code where it arises, with its reason. A
test fails on any other.

`…` stands for the names of the agency, its models and its account. The list is that of
`agencies/default.yaml` and of an agency with a VPC, a permissions boundary, alarms, a budget, three engines
and a model that scales to zero.
"""

Report = dict[str, Any]


def report_of(path: Path, directory: Path, *, break_it: bool = False) -> Report:
    """cdk-nag's report on the stack of an agency file."""
    app = cdk.App(outdir=str(directory), context=context())
    agency = load_agency(path)
    stack = QuantLlmStack(
        app,
        agency.stack_name,
        agency=agency,
        locks=locked(agency, path),
        recipes=locked_recipes(agency, path),
    )
    if break_it:
        cdk.aws_sns.Topic(stack, "Open")
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app), NIST80053R5Checks(app))
    # A finding ends the synth; the report is written either way and says which.
    with contextlib.suppress(RuntimeError):
        app.synth()
    report: Report = json.loads((directory / "validation-report.json").read_text())
    report["agency"] = agency.model_dump(mode="json")
    return report


def findings(report: Report) -> list[str]:
    """The rules that are broken and not accepted."""
    return [violation["ruleName"] for plugin in report["pluginReports"] for violation in plugin["violations"]]


def page(reports: Iterable[Report]) -> str:
    """The whole page, from the reports on some stacks."""
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for report in reports:
        for plugin in report["pluginReports"]:
            for accepted in plugin.get("suppressedViolations", []):
                for construct in accepted["violatingConstructs"]:
                    where = construct["constructPath"].partition("/")[2].removesuffix("/Resource")
                    rule = accepted["acknowledgedId"].partition("::")[2]
                    key = (rule.partition("[")[0], accepted["reason"])
                    detail = rule.partition("[")[2].removesuffix("]")
                    place = f"{where}: {detail}" if detail else where
                    places[key].add(_anonymous(place, report["agency"]))
    sections = []
    for rule in sorted({rule for rule, _ in places}):
        sections.append(f"## {rule}\n")
        for (_, reason), found in sorted(item for item in places.items() if item[0][0] == rule):
            listed = "\n".join(f"- `{place}`" for place in sorted(found))
            sections.append(f"{reason}\n\n{listed}\n")
    return "\n".join([_HEAD, *sections])


def _anonymous(text: str, agency: dict[str, Any]) -> str:
    """Without the names of the one agency, and without the hashes of logical ids."""
    names = [f"{agency['agency']}-{model['name']}" for model in agency["models"]]
    names += [model["name"] for model in agency["models"]]
    names += [agency["environment"]["account"], agency["environment"]["region"]]
    names += [f"QuantLlmStack-{agency['agency']}", "QuantLlmStack"]
    for name in names:
        text = text.replace(name, "…")
    return re.sub(r"<(\w+?)[0-9A-F]{8}(\.Arn)?>", r"<\1\2>", text)


def current_page(directory: Path) -> str:
    """The page as it should be; works in an empty directory."""
    return page(report_of(path, directory / path.stem) for path in (DEFAULT, FIXTURES / "health.yaml"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        PAGE.write_text(current_page(Path(temporary)), encoding="utf-8")
