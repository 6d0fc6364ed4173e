"""The `quantllm` command: finds the subcommand, and turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Container, Sequence
from importlib.metadata import version

from quant_llm.errors import QuantLlmError

COMMANDS = (
    "quant_llm_tools.agencies",
    "quant_llm_tools.lock.command",
    "quant_llm_tools.quantise.command",
    "quant_llm_tools.plan.command",
    "quant_llm_tools.prices.command",
    "quant_llm_tools.preflight.command",
    "quant_llm_tools.review.command",
    "quant_llm_tools.artifacts.command",
    "quant_llm_tools.leftovers.command",
    "quant_llm_tools.invoke",
    "quant_llm_tools.bench.command",
    "quant_llm_tools.bench.compare_command",
    "quant_llm_tools.bench.report.command",
    "quant_llm_tools.local_aws.command",
)
"""The modules of the commands, in the order of the help. Each has `register(subparsers)`, which adds a parser
and sets its default `run`, a function of the parsed arguments that returns the exit code. A command may have
two words (`bench compare`) beside one of the first word alone. What is slow to import comes in `run`."""

ERROR_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 1 an error that the user can mend, 2 wrong usage."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except QuantLlmError as error:
        if getattr(arguments, "json", False):
            print(json.dumps({"error": str(error)}))
        else:
            print(error, file=sys.stderr)
        return ERROR_EXIT_CODE
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        # The reader has seen enough (`| head`); the interpreter's own flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR_EXIT_CODE
    return code


def _joined(argv: Sequence[str], commands: Container[str]) -> Sequence[str]:
    """The command line with a command's two words made one: what argparse takes for a command's name."""
    words = " ".join(argv[:2])
    return [words, *argv[2:]] if len(argv) > 1 and words in commands else argv


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """What the words of a command line mean; SystemExit(2) for a wrong one, after a message."""
    parser, commands = _parser()
    return parser.parse_args(_joined(argv, commands))


def _parser() -> tuple[argparse.ArgumentParser, Container[str]]:
    """The parser, and the names of its commands."""
    parser = argparse.ArgumentParser(prog="quantllm", description="Private endpoints for quantised LLMs.")
    parser.add_argument("--version", action="version", version=f"quantllm {version('quant-llm')}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(name).register(subparsers)
    return parser, subparsers.choices


if __name__ == "__main__":
    sys.exit(main())
