"""What the synth of 1, 10 and 50 agencies takes, in seconds and in memory.

Measured is the app as the CDK CLI starts it: Python and jsii's two processes of Node, from the command to its
end, all their memory together. The CLI itself comes on top, the same for any number of agencies. The files
differ; each agency has two models on average.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.agencies import write_agencies
from benchmarks.machine import machine
from quant_llm.paths import ROOT

COUNTS = (1, 10, 50)
ROUNDS = 3
QUICK_COUNTS = (1, 3)
GOAL_AGENCIES = 50
GOAL_SECONDS = 30.0
GOAL_RSS_MIB = 600.0
_SAMPLE_SECONDS = 0.02
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Synth:
    """One count of agencies: the median of the rounds' times, and the most memory of any round."""

    agencies: int
    seconds: float
    peak_rss_mib: float


def measure(count: int, rounds: int) -> Synth:
    """Synthesise `count` agencies `rounds` times."""
    with tempfile.TemporaryDirectory(prefix="quantllm-synth-") as directory:
        agencies = Path(directory, "agencies")
        write_agencies(agencies, count)
        runs = [_synth(agencies, Path(directory, f"out-{each}"), count) for each in range(rounds)]
    return Synth(count, median(seconds for seconds, _ in runs), max(peak for _, peak in runs))


def _synth(agencies: Path, out: Path, count: int) -> tuple[float, float]:
    """Seconds and MiB of one synth; RuntimeError, with what it said, when it fails."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"] | {"agencies_directory": str(agencies)}
    # Node beside this Python, as `make setup` puts it there.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = {"PATH": path, "CDK_OUTDIR": str(out), "CDK_CONTEXT_JSON": json.dumps(context)}
    with tempfile.TemporaryFile() as screen:
        started, peak = time.perf_counter(), 0
        with subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=os.environ | told,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
        ) as process:
            while process.poll() is None:
                peak = max(peak, _resident_bytes(process.pid))
                time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        if process.returncode:
            screen.seek(0)
            raise RuntimeError(f"app.py ended with {process.returncode}:\n{screen.read().decode()}")
    made = len(list(out.glob("*.template.json")))
    if made != count:
        raise RuntimeError(f"expected {count} templates, got {made}")
    return seconds, peak / (1 << 20)


def _resident_bytes(root: int) -> int:
    """The resident memory of a process and all below it. What they share counts for each of them."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        pid = int(stat.parent.name)
        parents[pid], resident[pid] = int(fields[1]), int(fields[21]) * _PAGE_BYTES
    tree = {root}
    # A child can have a smaller number than its parent, so until nothing is added.
    while added := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= added
    return sum(resident.get(pid, 0) for pid in tree)


def growth(measured: Sequence[Synth]) -> float | None:
    """What an agency more costs at the end against at the beginning: 1.0 is linear. None for two counts."""
    if len(measured) < 3:
        return None
    first, second, *_, last = measured
    steps = [
        (after.seconds - before.seconds) / (after.agencies - before.agencies)
        for before, after in ((first, second), (second, last))
    ]
    return steps[1] / steps[0]


def reached(measured: Sequence[Synth]) -> bool | None:
    """Whether the goals for 50 agencies are reached; None where they were not measured."""
    found = [each for each in measured if each.agencies == GOAL_AGENCIES]
    if not found:
        return None
    return all(each.seconds <= GOAL_SECONDS and each.peak_rss_mib <= GOAL_RSS_MIB for each in found)


def main() -> int:
    """Measure and print; 1 when the goal for 50 agencies is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 3 agencies once: whether it works")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    counts, rounds = (QUICK_COUNTS, 1) if arguments.quick else (COUNTS, ROUNDS)
    # The first start of a day reads everything from the disk.
    measure(1, 1)
    measured = [measure(count, rounds) for count in counts]
    goal = reached(measured)
    if arguments.json:
        document = {
            "machine": machine(("node",)),
            "counts": [asdict(each) for each in measured],
            "growth": growth(measured),
            "goal": {
                "agencies": GOAL_AGENCIES,
                "seconds": GOAL_SECONDS,
                "peak_rss_mib": GOAL_RSS_MIB,
                "reached": goal,
            },
        }
        print(json.dumps(document, indent=2))
    else:
        print("agencies  seconds  peak MiB")
        for each in measured:
            print(f"{each.agencies:8}  {each.seconds:7.1f}  {each.peak_rss_mib:8.0f}")
        if (factor := growth(measured)) is not None:
            print(f"an agency more costs {factor:.2f} times as much between 10 and 50 as between 1 and 10")
    return 1 if goal is False else 0
