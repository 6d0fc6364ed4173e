"""`quantllm quantise`: run a recipe of an agency file in AWS, and write what it made to the lock."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

_DESCRIPTION = """
Starts the job of a recipe under `quantise` in the agency file: a SageMaker processing job with the image and
role of the agency's stack, which must be deployed. With --wait, or for a --job that was started before, it
waits until the job has ended, checks what it made, and writes files, sha256, shape and recipe to
<agency>.lock.json, for review. The job costs what its instance costs. A result that the lock has already, of
the same recipe, texts and source, is replaced with --again only. Exit code 1 on any error.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `quantise`."""
    parser = subparsers.add_parser(
        "quantise", help="make quantised weights by a job in AWS", description=_DESCRIPTION
    )
    parser.add_argument("path", type=Path, metavar="FILE", help="agency file")
    parser.add_argument("--recipe", metavar="NAME", help="the recipe; may be left out if there is only one")
    parser.add_argument("--wait", action="store_true", help="wait for the end and write the lock")
    parser.add_argument("--job", metavar="JOB", help="go on with this job, and wait for it")
    parser.add_argument("--again", action="store_true", help="replace a result that no model serves yet")
    parser.add_argument("--json", action="store_true", help="print one JSON document, and no progress")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Start, wait, write; returns the exit code."""
    from quant_llm_tools.quantise.aws import JobCloud
    from quant_llm_tools.quantise.running import check_new, finish, read_order, start

    tell = _quiet if arguments.json else _to_stderr
    order = read_order(arguments.path, arguments.recipe)
    if not arguments.again:
        check_new(order, arguments.job)
    cloud = JobCloud.connect(order.agency)
    job = arguments.job or start(order, cloud)
    document: dict[str, Any] = {"agency": order.agency.agency, "recipe": order.recipe.name, "job": job}
    path = shlex.quote(str(arguments.path))
    go_on = f"quantllm quantise {path} --recipe {order.recipe.name} --job {job}"
    go_on += " --again" * arguments.again
    if not (arguments.wait or arguments.job):
        print(json.dumps(document, indent=2) if arguments.json else f"{job} is running. Its result: {go_on}")
        return 0
    tell(f"{job} is running. If this command ends before it: {go_on}")
    result = finish(order, cloud, job, tell)
    if arguments.json:
        print(json.dumps({**document, "result": result.model_dump(mode="json")}, indent=2))
        return 0
    for file in result.files:
        print(f"{file.sha256}  {file.path} ({file.size:,} bytes)")
    print(f"{result.shape.quantization}, {result.shape.bits_per_weight:.2f} bits a weight")
    if result.perplexity:
        before, after = result.perplexity["before"], result.perplexity["after"]
        print(f"perplexity {before:.4f} before, {after:.4f} after ({(after / before - 1) * 100:+.2f} %)")
    print(f"written to {order.lock_file}: commit it, and let models use `quantised: {order.recipe.name}`")
    return 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(_line: str) -> None:
    """Progress that nobody asked for."""
