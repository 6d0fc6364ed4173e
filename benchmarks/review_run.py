"""What `quantllm review` of 1, 10 and 50 agencies takes, and how much of it beside the two synths.

Every agency differs from the others and changes: all of them scale further, and every fifth has another
context length. `synths` is both checkouts and both apps, side by side; `review` is all that comes after, to
the last character of the comment.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.agencies import write_agencies
from benchmarks.machine import machine
from quant_llm.paths import ROOT
from quant_llm_tools.review.gate import judge
from quant_llm_tools.review.markdown import markdown
from quant_llm_tools.review.reviewing import reviewed
from quant_llm_tools.review.sides import synthesised

COUNTS = (1, 10, 50)
QUICK_COUNTS = (1, 3)
GOAL_AGENCIES = 50
GOAL_SECONDS = 20.0
"""Beside the two synths."""

_APP = ("app.py", "cdk.json", "pyproject.toml", "stacks", "constructs", "container", "lambdas")


@dataclass(frozen=True)
class Reviewed:
    """One count of agencies: seconds of the two synths and of the rest, and what came of it."""

    agencies: int
    synths_seconds: float
    review_seconds: float
    changes: int
    characters: int


def measure(count: int) -> Reviewed:
    """Review a commit that changes all of `count` agencies."""
    with tempfile.TemporaryDirectory(prefix="quantllm-review-") as directory:
        repository = Path(directory, "repository")
        _make_repository(repository, count)
        started = time.perf_counter()
        with synthesised(repository, "HEAD~1", "HEAD") as (before, after):
            synths = time.perf_counter() - started
            for side in (before, after):
                if side.refusal is not None or len(side.templates) != count:
                    raise RuntimeError(
                        f"expected {count} templates, got {len(side.templates)}: {side.refusal}"
                    )
            review = reviewed(before, after)
            verdict = judge(review.changes, (), (), datetime.datetime.now(datetime.UTC).date())
            text = markdown(review, verdict)
            took = time.perf_counter() - started - synths
    return Reviewed(count, round(synths, 2), round(took, 2), len(review.changes), len(text))


def _make_repository(repository: Path, count: int) -> None:
    """The app as it is here with `count` agencies, and a second commit that changes each."""
    leftovers = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in _APP:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, repository / name, ignore=leftovers)
        else:
            repository.mkdir(exist_ok=True)
            shutil.copy(source, repository / name)
    paths = write_agencies(repository / "agencies", count)
    _git(repository, "init", "--quiet")
    _commit(repository)
    for position, path in enumerate(paths):
        text = re.sub(r"max: (\d+)", lambda found: f"max: {int(found[1]) + 1}", path.read_text())
        if position % 5 == 0:
            text = re.sub(
                r"context_length: (\d+)", lambda found: f"context_length: {int(found[1]) // 2}", text
            )
        path.write_text(text)
    _commit(repository)


def _commit(repository: Path) -> None:
    _git(repository, "add", "--all")
    identity = (
        "-c",
        "user.name=benchmark",
        "-c",
        "user.email=benchmark@localhost",
        "-c",
        "commit.gpgsign=false",
    )
    _git(repository, *identity, "commit", "--quiet", "--message", "agencies")


def _git(repository: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=repository, check=True)  # noqa: S603, S607 - our own command


def reached(measured: list[Reviewed]) -> bool | None:
    """Whether the goal for 50 agencies is reached; None where they were not measured."""
    found = [each for each in measured if each.agencies == GOAL_AGENCIES]
    return all(each.review_seconds <= GOAL_SECONDS for each in found) if found else None


def main() -> int:
    """Measure and print; 1 when the goal for 50 agencies is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 3 agencies: whether it works")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    # The first start of a day reads everything from the disk.
    measure(1)
    measured = [measure(count) for count in (QUICK_COUNTS if arguments.quick else COUNTS)]
    goal = reached(measured)
    if arguments.json:
        document = {
            "machine": machine(("node", "git")),
            "counts": [asdict(each) for each in measured],
            "goal": {
                "agencies": GOAL_AGENCIES,
                "review_seconds": GOAL_SECONDS,
                "reached": goal,
            },
        }
        print(json.dumps(document, indent=2))
    else:
        print("agencies  synths, s  review, s  changes  characters")
        for each in measured:
            print(
                f"{each.agencies:8}  {each.synths_seconds:9.1f}  {each.review_seconds:9.1f}  "
                f"{each.changes:7}  {each.characters:10}"
            )
    return 1 if goal is False else 0
