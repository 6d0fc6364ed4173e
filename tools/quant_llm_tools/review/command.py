"""`quantllm review`: what a change does to infrastructure, cost, permissions and weights, offline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quant_llm.errors import QuantLlmError

if TYPE_CHECKING:
    from quant_llm_tools.review.model import Review
    from quant_llm_tools.review.verdict import Verdict

_DESCRIPTION = """
Synthesises two states of the repository side by side, each with its own code, without credentials or network,
and says what deploying the second over the first does: most severe first, with cost and GPU memory. With
--deployed the first state is what is live in the AWS account of the credentials.
"""

_EPILOG = """
exit codes: 0 nothing that --fail-on names, or all of it approved in .quantllm-review.yaml; 1 an error that
you can mend; 2 wrong usage; 3 a change of a class that --fail-on names; 4 head does not synthesise.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `review`."""
    parser = subparsers.add_parser(
        "review",
        help="show what a change does to infrastructure, cost, permissions and weights",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    base = parser.add_mutually_exclusive_group(required=True)
    base.add_argument(
        "--base", metavar="REF", help="commit, branch or tag that the change goes into, such as origin/main"
    )
    base.add_argument("--deployed", action="store_true", help="compare with what is live in the AWS account")
    parser.add_argument("--head", metavar="REF", help="state to review; default: the working tree as it is")
    parser.add_argument(
        "--format",
        choices=("terminal", "markdown", "json"),
        default="terminal",
        help="default: %(default)s; markdown is a comment of a pull request",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to a file, not to stdout")
    parser.add_argument(
        "--fail-on",
        action="append",
        default=[],
        metavar="CLASS,…",
        help="end with exit code 3 on a change of these classes that is not approved; may be given often",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the review and return the exit code."""
    from quant_llm_tools.review.gate import parse_classes
    from quant_llm_tools.review.reviewing import review_changes, review_deployed

    fail_on = parse_classes(arguments.fail_on)
    if arguments.deployed:
        review, verdict = review_deployed(Path.cwd(), arguments.head, fail_on, _to_stderr)
    else:
        review, verdict = review_changes(Path.cwd(), arguments.base, arguments.head, fail_on, _to_stderr)
    for line in verdict.stale:
        _to_stderr(line)
    _write(_rendered(arguments.format, review, verdict), arguments.output)
    return int(verdict.exit)


def _rendered(form: str, review: Review, verdict: Verdict) -> str:
    if form == "json":
        import json

        from quant_llm_tools.review.document import to_document

        text = json.dumps(to_document(review, verdict), indent=2, ensure_ascii=False) + "\n"
        # What of a file is no UTF-8 is an escape of JSON.
        return text.encode(errors="backslashreplace").decode()
    if form == "markdown":
        from quant_llm_tools.review.markdown import markdown

        return markdown(review, verdict)
    from quant_llm_tools.review.terminal import terminal

    return terminal(review, verdict)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        print(text, end="")
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise QuantLlmError(f"--output: {output} can't be written: {error.strerror}") from None


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
