"""Stacks made from the example agencies, as `cdk synth` makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from quant_llm.agency import AgencyConfig, load_supported_agency, locked
from quant_llm.paths import ROOT
from stacks.quant_llm_stack import QuantLlmStack

FIXTURES = ROOT / "tests" / "fixtures" / "agencies"
DEFAULT = ROOT / "agencies" / "default.yaml"


def context() -> dict[str, Any]:
    """The feature flags of cdk.json, which a test's own App does not read by itself."""
    import json

    flags: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
    return flags


def make_stack(path: Path) -> QuantLlmStack:
    agency = load_supported_agency(path)
    return QuantLlmStack(
        cdk.App(context=context()), agency.stack_name, agency=agency, locks=locked(agency, path)
    )


def template_of(path: Path) -> Template:
    return Template.from_stack(make_stack(path))


@pytest.fixture(scope="session")
def default_template() -> Template:
    return template_of(DEFAULT)


@pytest.fixture(scope="session")
def justice_template() -> Template:
    return template_of(FIXTURES / "justice.yaml")


@pytest.fixture
def changed_template(tmp_path: Path) -> Callable[..., Template]:
    """The default agency with another text in its file: `changed_template("min: 1", "min: 2")`."""

    def make(*changes: tuple[str, str]) -> Template:
        text = DEFAULT.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / DEFAULT.name
        path.write_text(text)
        (tmp_path / "default.lock.json").write_text(DEFAULT.with_name("default.lock.json").read_text())
        return template_of(path)

    return make


def agency_of(path: Path) -> AgencyConfig:
    return load_supported_agency(path)
