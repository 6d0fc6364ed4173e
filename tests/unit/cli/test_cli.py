"""The `quantllm` command around its subcommands: errors, exit codes, version."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from importlib.metadata import version

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools import cli

Run = Callable[[argparse.Namespace], int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Makes `quantllm probe [--json]` run a function."""

    def _command(run: Run) -> None:
        def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
            parser = subparsers.add_parser("probe")
            parser.add_argument("--json", action="store_true")
            parser.set_defaults(run=run)

        module = types.ModuleType("quant_llm_probe")
        module.register = register  # type: ignore[attr-defined] # a module made for the test
        monkeypatch.setitem(sys.modules, "quant_llm_probe", module)
        monkeypatch.setattr(cli, "COMMANDS", ("quant_llm_probe",))

    return _command


def _fail(_arguments: argparse.Namespace) -> int:
    raise QuantLlmError("got this, expected that")


def test_the_exit_code_is_the_commands(command: Callable[[Run], None]) -> None:
    command(lambda _: 7)
    assert cli.main(["probe"]) == 7


def test_a_command_of_two_words_stands_beside_the_one_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        measure = subparsers.add_parser("probe")
        measure.add_argument("target")
        measure.set_defaults(run=lambda arguments: 1 if arguments.target == "compared" else 0)
        subparsers.add_parser("probe compare").set_defaults(run=lambda _: 2)

    module = types.ModuleType("quant_llm_probe")
    module.register = register  # type: ignore[attr-defined] # a module made for the test
    monkeypatch.setitem(sys.modules, "quant_llm_probe", module)
    monkeypatch.setattr(cli, "COMMANDS", ("quant_llm_probe",))
    assert cli.main(["probe", "compared"]) == 1
    assert cli.main(["probe", "compare"]) == 2


def test_an_error_is_one_message_on_stderr(
    command: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(_fail)
    assert cli.main(["probe"]) == 1
    assert capsys.readouterr() == ("", "got this, expected that\n")


def test_an_error_with_json_is_a_document_on_stdout(
    command: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(_fail)
    assert cli.main(["probe", "--json"]) == 1
    output = capsys.readouterr()
    assert json.loads(output.out) == {"error": "got this, expected that"}
    assert output.err == ""


def test_a_bug_is_not_hidden(command: Callable[[Run], None]) -> None:
    command(lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_an_interrupt_ends_without_a_traceback(command: Callable[[Run], None]) -> None:
    def interrupted(_arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    command(interrupted)
    assert cli.main(["probe"]) == 130


def test_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"quantllm {version('quant-llm')}\n"


@pytest.mark.parametrize("arguments", [["schema"], ["check", "none.yaml"]], ids=["long", "short"])
def test_a_reader_that_goes_away_gets_no_traceback(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "quant_llm_tools.cli", "agencies", *arguments]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, env=buffered, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_the_help_of_all_commands_imports_nothing_heavy() -> None:
    code = (
        "import sys; from quant_llm_tools import cli; cli._parser(); "
        "print([name for name in ('aws_cdk', 'moto', 'boto3', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
