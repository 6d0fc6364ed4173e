"""All drills on an embedded AWS of their own: `python -m tests.drills`, or `make drills`."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from pathlib import Path

from tests.drills.drill import Outcome, fail, recover
from tests.drills.drills import DRILLS
from tests.e2e.conftest import bootstrapped


def main() -> int:
    """Do the drills, print what came of each, and a table at the end; 1 when one of them is not passed."""
    folder = tempfile.TemporaryDirectory(prefix="quantllm-drills-")
    with folder as directory, bootstrapped(Path(directory)) as platform:
        outcomes = []
        for drill in DRILLS:
            print(f"{drill.name}: {drill.what}", flush=True)
            outcomes.append(fail(platform, drill))
            print(textwrap.indent(textwrap.fill(outcomes[-1].reason, 100), "    "), flush=True)
        print("the next deploy of all of them", flush=True)
        again = recover(platform, DRILLS)
        stacks = {drill.name: platform.stack(drill.name)["StackStatus"] for drill in DRILLS}
    print(f"\n{'drill':16} {'failed after':>12}  {'still runs':10}  {'is left':24}  the next deploy")
    for outcome in outcomes:
        print(_row(outcome, stacks[outcome.drill.name]))
    if again.returncode:
        print(again.stdout + again.stderr, file=sys.stderr)
    return 1 if again.returncode or any(outcome.running for outcome in outcomes) else 0


def _row(outcome: Outcome, status: str) -> str:
    running = ", ".join(outcome.running) or "nothing"
    left = ", ".join(outcome.left)
    return f"{outcome.drill.name:16} {outcome.seconds:10.0f} s  {running:10}  {left:24}  {status}"


if __name__ == "__main__":
    sys.exit(main())
