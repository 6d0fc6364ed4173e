"""cdk-nag's AwsSolutions rules: every finding is mended, or acknowledged where it arises with its reason."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_nag import AwsSolutionsChecks

from quant_llm.agency import load_supported_agency, locked
from stacks.quant_llm_stack import QuantLlmStack
from tests.stack.conftest import DEFAULT, FIXTURES, context


def findings(path: Path, outdir: Path, *, break_it: bool = False) -> list[str]:
    app = cdk.App(outdir=str(outdir), context=context())
    agency = load_supported_agency(path)
    stack = QuantLlmStack(app, agency.stack_name, agency=agency, locks=locked(agency, path))
    if break_it:
        cdk.aws_sns.Topic(stack, "Open")
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    # A finding ends the synth; the report is written either way and says which.
    with contextlib.suppress(RuntimeError):
        app.synth()
    report: dict[str, Any] = json.loads((outdir / "validation-report.json").read_text())
    return [violation["ruleName"] for plugin in report["pluginReports"] for violation in plugin["violations"]]


@pytest.mark.parametrize("path", [DEFAULT, FIXTURES / "justice.yaml"], ids=lambda path: path.stem)
def test_no_security_finding_is_left_open(path: Path, tmp_path: Path) -> None:
    assert findings(path, tmp_path) == []


def test_finding_that_is_not_acknowledged_is_seen(tmp_path: Path) -> None:
    assert "AwsSolutions-SNS3" in findings(DEFAULT, tmp_path, break_it=True)
