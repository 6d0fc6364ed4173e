"""An upgrade and the way back: `python -m tests.upgrade [COMMIT] [--json]`, or `make upgrade FROM=COMMIT`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from tests.e2e.conftest import bootstrapped
from tests.upgrade.commits import older_commit
from tests.upgrade.upgrade import Step, Upgrade, upgrade


def main() -> int:
    """Do it and print what each deploy did; 1 when something is lost on the way."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=__doc__)
    parser.add_argument("commit", nargs="?", help="default: the last tag, else before the last change")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    try:
        older = older_commit(ROOT, arguments.commit or None)
        folder = tempfile.TemporaryDirectory(prefix="quantllm-upgrade-")
        with folder as directory, bootstrapped(Path(directory)) as platform:
            done = upgrade(platform, older, lambda text: print(text, file=sys.stderr, flush=True))
    except QuantLlmError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({**dataclasses.asdict(done), "losses": done.losses}, indent=2))
    else:
        print("\n".join(text(done)))
    return 1 if done.losses else 0


def text(done: Upgrade) -> list[str]:
    """What each deploy after the first did, a line for each resource, and what is lost."""
    lines = []
    if not done.same_packages:
        lines += ["The older commit has other packages; both were synthesised with those of here.", ""]
    for step in done.steps[1:]:
        lines += [f"{step.name}: {_summary(step)}"]
        lines += [
            f"  {change.what:9} {change.type:42} {change.path}"
            for change in sorted(step.changes, key=lambda change: (change.what, change.type))
        ]
    lines += ["", f"{'deploy':26} {'seconds':>7}  weights"]
    lines += [f"{step.name:26} {step.seconds:7.0f}  {step.model_data_url}" for step in done.steps]
    lines += ["", *(f"lost: {loss}" for loss in done.losses), *(f"meant: {line}" for line in done.meant)]
    if not done.losses:
        lines += [
            "Endpoint, buckets, keys and images are what they were; the older weights were still there."
        ]
    return lines


def _summary(step: Step) -> str:
    counts = Counter(change.what for change in step.changes)
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "no change"


if __name__ == "__main__":
    sys.exit(main())
