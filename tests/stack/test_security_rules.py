"""cdk-nag's AwsSolutions and NIST 800-53 R5 rules: every finding is mended, or accepted with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack.conftest import DEFAULT, FIXTURES, default_file
from tests.stack.security_exceptions import PAGE, Report, findings, page, report_of


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Report]:
    """Of the default agency, and of the one that asks for most."""
    directory = tmp_path_factory.mktemp("reports")
    return [report_of(path, directory / path.stem) for path in (DEFAULT, FIXTURES / "health.yaml")]


def test_no_security_finding_is_left_open(reports: list[Report]) -> None:
    assert [findings(report) for report in reports] == [[], []]


def test_page_of_accepted_findings_is_current(reports: list[Report]) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(reports), "run python -m tests.stack.security_exceptions"


def test_no_security_finding_is_left_open_by_an_existing_image(tmp_path: Path) -> None:
    assert findings(report_of(FIXTURES / "justice.yaml", tmp_path)) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            ("    engine: llama.cpp\n", "    engine: llama.cpp\n    artifact: s3-prefix\n"), id="prefix"
        ),
        pytest.param(
            (
                "    instance_type: ml.g4dn.xlarge",
                "    image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/cpu:1\n"
                "    instance_type: ml.c5.xlarge",
            ),
            id="volume",
        ),
        pytest.param(("scaling: {min: 1, max: 2}", "scaling: {min: 2, max: 4}"), id="rolling"),
        pytest.param(("scaling: {min: 1, max: 2}", "scaling: {min: 0, max: 2}"), id="zero"),
        pytest.param(("scaling: {min: 1, max: 2}", "mode: async\n    scaling: {min: 0, max: 2}"), id="async"),
        pytest.param(
            ("scaling: {min: 1, max: 2}", "capture: {percent: 5}\n    scaling: {min: 1, max: 2}"),
            id="capture",
        ),
        pytest.param(
            (
                "models:\n",
                "hub: {in_network: true, proxy: 'http://proxy.agency.example:3128'}\n"
                "network:\n"
                "  vpc_id: vpc-0a1b2c3d4e5f60718\n"
                "  subnet_ids: [subnet-0a1b2c3d4e5f60718]\n"
                "  security_group_ids: [sg-0a1b2c3d4e5f60718]\n"
                "models:\n",
            ),
            id="hub",
        ),
    ],
)
def test_no_security_finding_is_left_open_by_a_choice(change: tuple[str, str], tmp_path: Path) -> None:
    assert findings(report_of(default_file(tmp_path, change), tmp_path / "out")) == []


def test_finding_that_is_not_accepted_is_seen(tmp_path: Path) -> None:
    found = findings(report_of(DEFAULT, tmp_path, break_it=True))
    assert {"AwsSolutions-SNS3", "NIST.800.53.R5-SNSEncryptedKMS"} <= set(found)
