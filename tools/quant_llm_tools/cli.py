"""The `quantllm` command: finds the subcommand, and turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from quant_llm.errors import QuantLlmError

COMMANDS = (
    "quant_llm_tools.agencies",
    "quant_llm_tools.lock.command",
    "quant_llm_tools.plan.command",
    "quant_llm_tools.prices.command",
    "quant_llm_tools.preflight.command",
    "quant_llm_tools.artifacts.command",
    "quant_llm_tools.invoke",
    "quant_llm_tools.local_aws.command",
)
"""The modules of the commands, in the order of the help. Each has `register(subparsers)`, which adds a parser
and sets its default `run`, a function of the parsed arguments that returns the exit code. What is slow to
import is imported in `run`."""

ERROR_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 1 an error that the user can mend, 2 wrong usage."""
    arguments = _parser().parse_args(argv)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="quantllm", description="Private endpoints for quantised LLMs.")
    parser.add_argument("--version", action="version", version=f"quantllm {version('quant-llm')}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(name).register(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
