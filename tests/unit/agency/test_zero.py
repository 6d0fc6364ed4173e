"""Scaling to zero: where it can be had, what is refused, and the fallback that a file may choose."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from quant_llm.agency import DEFAULT_IDLE_MINUTES, AgencyConfig, AgencyFileError, ScalingConfig, load_agency
from quant_llm.agency.aws_names import REGIONS_WITH_INFERENCE_COMPONENTS, regions

TO_ZERO = "    scaling: {min: 0, max: 2}\n"
BY_THE_CLOCK = (
    "    scaling:\n      min: 1\n      max: 2\n      schedule:\n"
    '        - {cron: "0 19 ? * * *", timezone: Asia/Singapore, min: 0, max: 2}\n'
)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A file with these lines about scaling, in a region: `write(TO_ZERO, "eu-west-3")`."""
    monkeypatch.chdir(tmp_path)

    def make(scaling: str, region: str = "us-east-1") -> Path:
        path = tmp_path / "moh.yaml"
        path.write_text(
            "agency: moh\n"
            f'environment: {{account: "123456789012", region: {region}}}\n'
            "models:\n"
            "  - name: chat\n"
            "    source: {hub: a/b}\n"
            "    engine: llama.cpp\n"
            "    instance_type: ml.g4dn.xlarge\n"
            "    context_length: 512\n"
            "    concurrency: 4\n" + scaling
        )
        return path

    return make


def problems(path: Path) -> list[str]:
    with pytest.raises(AgencyFileError) as caught:
        load_agency(path)
    return [str(problem) for problem in caught.value.problems]


def deployed(agency: AgencyConfig) -> ScalingConfig:
    return agency.deployed(agency.models[0]).scaling


def test_zero_is_taken_where_there_are_inference_components(write: Callable[..., Path]) -> None:
    agency = load_agency(write(TO_ZERO))
    assert agency.deployed(agency.models[0]) == agency.models[0]
    assert (deployed(agency).least, deployed(agency).idle) == (0, DEFAULT_IDLE_MINUTES)


def test_schedule_to_zero_may_say_how_long_nobody_calls(write: Callable[..., Path]) -> None:
    agency = load_agency(write(BY_THE_CLOCK + "      idle_minutes: 5\n"))
    assert (deployed(agency).least, deployed(agency).idle) == (0, 5)


@pytest.mark.parametrize(
    ("scaling", "place"),
    [
        pytest.param(TO_ZERO, "10: models[0].scaling.min", id="always"),
        pytest.param(BY_THE_CLOCK, "14: models[0].scaling.schedule[0].min", id="by the clock"),
    ],
)
def test_zero_is_refused_with_its_line_and_source_where_there_are_none(
    write: Callable[..., Path], scaling: str, place: str
) -> None:
    assert problems(write(scaling, "us-gov-west-1")) == [
        f"moh.yaml:{place}: got 0, expected 1 or more in us-gov-west-1, whose CloudFormation has no "
        "inference components by the schemas of cfn-lint 1.58: or without_zero: one, which takes 0 for 1 "
        "there; did you mean '1'?"
    ]


@pytest.mark.parametrize(
    "scaling",
    [TO_ZERO.replace("max: 2", "max: 2, without_zero: one"), BY_THE_CLOCK + "      without_zero: one\n"],
)
def test_fallback_is_one_instance_in_a_region_without_and_nothing_in_one_with(
    write: Callable[..., Path], scaling: str
) -> None:
    elsewhere = load_agency(write(scaling, "us-gov-west-1"))
    assert (deployed(elsewhere).least, deployed(elsewhere).max) == (1, 2)
    assert elsewhere.models[0].scaling.least == 0  # what the file says stays what it is
    assert deployed(load_agency(write(scaling))).least == 0


def test_inference_component_rolls_and_takes_no_other_update(write: Callable[..., Path]) -> None:
    assert load_agency(write(TO_ZERO + "    deployment: rolling\n")).models[0].deployment == "rolling"
    assert problems(write(TO_ZERO + "    deployment: blue-green\n")) == [
        "moh.yaml:11: models[0].deployment: got 'blue-green', expected rolling, or a min of 1: SageMaker "
        "takes a bad update of an inference component back only so; did you mean 'rolling'?"
    ]


def test_fallback_to_one_instance_does_not_roll(write: Callable[..., Path]) -> None:
    scaling = TO_ZERO.replace("max: 2", "max: 2, without_zero: one")
    (problem,) = problems(write(scaling + "    deployment: rolling\n", "us-gov-west-1"))
    assert "expected blue-green, or at least 2 instances at all times, not 1" in problem
    load_agency(write(scaling + "    deployment: blue-green\n", "us-gov-west-1"))


def test_the_regions_with_inference_components_are_those_of_the_resource_schemas() -> None:
    schemas = files("cfnlint") / "data" / "schemas" / "providers"
    found = {
        region
        for region in regions()
        if (schemas / f"{region}.json").is_file()
        and "AWS::SageMaker::InferenceComponent" in json.loads((schemas / f"{region}.json").read_text())
    }
    assert found == REGIONS_WITH_INFERENCE_COMPONENTS & set(regions())
    assert set(REGIONS_WITH_INFERENCE_COMPONENTS) <= set(regions())
