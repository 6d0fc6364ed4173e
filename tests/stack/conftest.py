"""Stacks made from the example agencies, as `cdk synth` makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from quant_llm.agency import AgencyConfig, load_agency, locked, locked_recipes
from quant_llm.paths import ROOT
from stacks.quant_llm_stack import QuantLlmStack

FIXTURES = ROOT / "tests" / "fixtures" / "agencies"
DEFAULT = ROOT / "agencies" / "default.yaml"


def context() -> dict[str, Any]:
    """The feature flags of cdk.json, which a test's own App does not read by itself."""
    import json

    flags: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
    return flags


def make_stack(path: Path, **more: object) -> QuantLlmStack:
    """The stack of the agency file at `path`; `more` is added to the context of cdk.json."""
    agency = load_agency(path)
    return QuantLlmStack(
        cdk.App(context=context() | more),
        agency.stack_name,
        agency=agency,
        locks=locked(agency, path),
        recipes=locked_recipes(agency, path),
    )


def template_of(path: Path, **more: object) -> Template:
    return Template.from_stack(make_stack(path, **more))


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
        return template_of(default_file(tmp_path, *changes))

    return make


def default_file(directory: Path, *changes: tuple[str, str]) -> Path:
    """The default agency with another text in its file, and its lock."""
    text = DEFAULT.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = directory / DEFAULT.name
    path.write_text(text)
    (directory / "default.lock.json").write_text(DEFAULT.with_name("default.lock.json").read_text())
    return path


def health_file(directory: Path, *changes: tuple[str, str]) -> Path:
    """The example that says everything, with the first of its models alone; `changes` on top."""
    text = (FIXTURES / "health.yaml").read_text().partition("  - name: codellama-34b")[0]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = directory / "health.yaml"
    path.write_text(text)
    (directory / "health.lock.json").write_text((FIXTURES / "health.lock.json").read_text())
    return path


@pytest.fixture(scope="session")
def health_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return template_of(health_file(tmp_path_factory.mktemp("health")))


@pytest.fixture(scope="session")
def whole_health_template() -> Template:
    """All of the example that says everything: three engines, and a model that scales to zero."""
    return template_of(FIXTURES / "health.yaml")


def agency_of(path: Path) -> AgencyConfig:
    return load_agency(path)
