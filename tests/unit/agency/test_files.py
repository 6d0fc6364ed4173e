"""Folders of agency files, and files against each other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quant_llm.agency import check_together, find_agency_files, load_agency
from quant_llm.errors import QuantLlmError


def test_agency_files_are_found_by_name_without_locks_and_others(write: Callable[..., Path]) -> None:
    for name in ("moh.yaml", "default.yaml", "moh.lock.json", "README.md"):
        write("", f"agencies/{name}")
    assert find_agency_files(Path("agencies")) == [Path("agencies/default.yaml"), Path("agencies/moh.yaml")]


def test_a_yml_file_is_refused_instead_of_passed_over(write: Callable[..., Path]) -> None:
    write("", "agencies/moh.yml")
    with pytest.raises(QuantLlmError) as caught:
        find_agency_files(Path("agencies"))
    assert str(caught.value) == "agencies/moh.yml: got the suffix .yml, expected .yaml: rename the file"


def test_one_agency_twice_in_one_account_is_told_at_the_later_file(
    write: Callable[..., Path], good: Path
) -> None:
    other = write(good.read_text(), "more/moh.yaml")
    assert [str(problem) for problem in check_together([load_agency(good), load_agency(other)])] == [
        "more/moh.yaml:1: agency: the stack 'QuantLlmStack-moh' of account 123456789012 in us-east-1 "
        "is that of agencies/moh.yaml too",
        "more/moh.yaml:12: models[0].name: the endpoint 'moh-chat' of account 123456789012 in us-east-1 "
        "is that of agencies/moh.yaml too",
    ]


def test_two_agencies_whose_endpoints_would_have_one_name(write: Callable[..., Path], good: Path) -> None:
    text = good.read_text()
    first = write(text.replace("name: chat", "name: chat-small"))
    second = write(
        text.replace("agency: moh", "agency: moh-chat").replace("name: chat", "name: small"),
        "agencies/moh-chat.yaml",
    )
    assert [problem.field for problem in check_together([load_agency(first), load_agency(second)])] == [
        "models[0].name"
    ]


@pytest.mark.parametrize(("here", "there"), [("123456789012", "210987654321"), ("us-east-1", "us-west-2")])
def test_one_agency_in_two_accounts_or_regions_is_fine(
    write: Callable[..., Path], good: Path, here: str, there: str
) -> None:
    other = write(good.read_text().replace(here, there), "more/moh.yaml")
    assert check_together([load_agency(good), load_agency(other)]) == []


def test_importing_the_agency_files_does_not_import_the_cdk_or_a_client() -> None:
    code = (
        "import sys, quant_llm.agency; "
        "print([name for name in ('aws_cdk', 'jsii', 'boto3', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
