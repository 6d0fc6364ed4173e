"""The comparison behind `repack.py`: which ways run on what, how often, and what comes of it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from benchmarks.discarding_s3 import UNCHECKED_BUCKET
from benchmarks.loopback import Model, Servers, servers
from benchmarks.machine import machine
from benchmarks.repack_extraction import READERS, Extraction, measure_extraction
from benchmarks.repack_simulation import Simulated, simulate
from benchmarks.repack_ways import CHECKED_BUCKET, Outcome, Task, run

_MEGABYTE = 1_000_000
_EXPLANATION = """\
Hub and S3 are processes of their own on this machine's loopback, and share its processors with what is
measured. The S3 is a stand-in that discards what it gets: moto keeps every byte and takes 110 to 280 MB/s,
which would be what is measured. It checks lengths; each way first runs once more, not timed, with the CRC-32
of every body and object checked, which on AWS takes S3's processors and not the function's. A worker is a
process of its own, as a function's sandbox is, and fresh for each run; its start and a first run on 6 MB are
not timed. The ways take turns. Rates are bytes of the model by wall time, medians of the runs; CPU time is
that of all workers, memory the largest worker's.

ours        the repack's tasks, every byte's sha256 checked
plain copy  the same bytes from range GET to UploadPart with boto3 as it comes, which takes their CRC-32;
            a part after the other: nothing hashed, framed or checked
bare copy   without that CRC-32 too, and sent a MiB at a time as ours is: the least there is to do
"""


@dataclass(frozen=True)
class Scale:
    """How much is measured; sizes in bytes.

    The ways over a disk are ten times slower, so a quick benchmark gives them less; rates are compared.
    """

    size: int
    size_over_disk: int
    size_extracted: int
    runs: int
    runs_with_more_workers: int
    runs_over_disk: int
    rss_sizes: tuple[int, ...]
    is_quick: bool = False

    def runs_of(self, way: Way) -> int:
        """How often a way runs."""
        if way.over_disk:
            return self.runs_over_disk
        return self.runs if way.workers == 1 else self.runs_with_more_workers


QUICK = Scale(
    size=201 * _MEGABYTE,
    size_over_disk=20 * _MEGABYTE,
    size_extracted=50 * _MEGABYTE,
    runs=2,
    runs_with_more_workers=1,
    runs_over_disk=1,
    rss_sizes=(100 * _MEGABYTE, 201 * _MEGABYTE),
    is_quick=True,
)
FULL = Scale(
    size=1000 * _MEGABYTE,
    size_over_disk=1000 * _MEGABYTE,
    size_extracted=400 * _MEGABYTE,
    runs=5,
    runs_with_more_workers=5,
    runs_over_disk=5,
    rss_sizes=(100 * _MEGABYTE, 1000 * _MEGABYTE, 10_000 * _MEGABYTE),
)

_WARM_UP_BYTES = 6 * _MEGABYTE

# What a function of Lambda gets of its network, roughly.
PACED_BYTES_PER_SECOND = 75e6
PACED_SIZE = 402 * _MEGABYTE
PACED_RUNS = 3


@dataclass(frozen=True)
class Way:
    """A row of the table."""

    name: str
    workers: int = 1
    over_disk: bool = False
    program: str = ""

    @property
    def title(self) -> str:
        """The name with the workers, where they are counted."""
        return self.name if self.over_disk else f"{self.name}, {_count(self.workers, 'worker')}"

    @property
    def limit(self) -> Way:
        """The plain copy with as many workers."""
        return Way("plain copy", workers=self.workers)


OURS, PLAIN_COPY, BARE_COPY = Way("ours"), Way("plain copy"), Way("bare copy")
TARFILE = Way("tarfile w:gz", over_disk=True)
WAYS = (
    OURS,
    Way("ours", workers=4),
    Way("ours in one call"),
    PLAIN_COPY,
    Way("plain copy", workers=4),
    BARE_COPY,
    Way("bare copy", workers=4),
    Way("tar czf", over_disk=True, program="tar"),
    Way("tar | pigz -1", over_disk=True, program="pigz"),
    TARFILE,
)


@dataclass
class Row:
    """The runs of a way on one model."""

    way: Way
    model_bytes: int
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """MB/s of each run, slowest first."""
        return sorted(self.model_bytes / _MEGABYTE / one.seconds for one in self.outcomes)

    @property
    def rate(self) -> float:
        """The median run's MB/s."""
        return median(self.rates)

    @property
    def cpu_seconds_per_gb(self) -> float:
        """The median run's CPU seconds for 1 GB."""
        return median(one.cpu_seconds for one in self.outcomes) * 1000 * _MEGABYTE / self.model_bytes

    def summary(self) -> dict[str, object]:
        """What `--json` says of it."""
        return {
            "way": self.way.title,
            "model_bytes": self.model_bytes,
            "mb_per_second": round(self.rate, 1),
            "cpu_seconds_per_gb": round(self.cpu_seconds_per_gb, 3),
            "runs": [asdict(one) for one in self.outcomes],
        }

    def line(self) -> str:
        """The row of the printed table."""
        rss = max(one.peak_rss_mib for one in self.outcomes)
        spread = f"{self.rates[0]:.0f}-{self.rates[-1]:.0f}"
        return (
            f"{self.way.title:27} {self.model_bytes / _MEGABYTE:8.0f} {len(self.outcomes):4} "
            f"{self.rate:6.0f} {spread:>15} {self.cpu_seconds_per_gb:8.2f} {rss:8.0f}"
        )


_HEADER = (
    f"{'way':27} {'model MB':>8} {'runs':>4} "
    f"{'MB/s':>6} {'slowest-fastest':>15} {'CPU s/GB':>8} {'RSS MiB':>8}"
)

Rows = dict[Way, Row]


def main() -> int:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs, within 45 seconds")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    result = benchmark(QUICK if arguments.quick else FULL)
    if arguments.json:
        print(json.dumps(result))
    return 0


def benchmark(scale: Scale, ways: Sequence[Way] = WAYS) -> dict[str, object]:
    """Measure, print each table when it is complete, and return what `--json` prints."""
    about = machine(("tar", "gzip", "pigz", "bsdtar", "busybox"))
    print(_EXPLANATION)
    print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)
    with servers(sorted({_WARM_UP_BYTES, scale.size, scale.size_over_disk, *scale.rss_sizes})) as loopback:
        print(f"\n{_HEADER}")
        rows = _compare(loopback, loopback.generated[scale.size], scale, ways)
        real: Rows = {}
        if not scale.is_quick:
            print(f"\nthe real GGUF\n{_HEADER}")
            real = _compare(loopback, loopback.real, scale, ways)
        rss = {size: _once(loopback, loopback.generated[size], OURS).peak_rss_mib for size in scale.rss_sizes}
    paced: Rows = {} if scale.is_quick else _compare_paced()
    extractions = measure_extraction(scale.size_extracted, 1 if scale.is_quick else scale.runs)
    _print_extractions(extractions)
    simulated = [] if scale.is_quick else simulate()
    result = {
        **findings(rows, rss, extractions),
        "quick": scale.is_quick,
        "load_at_the_end": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "generated": [row.summary() for row in rows.values()],
        "real": [row.summary() for row in real.values()],
        "real_ratio_to_plain_copy": _ratio(real, OURS, PLAIN_COPY) if real else None,
        "paced": [row.summary() for row in paced.values()],
        "paced_ratio_to_plain_copy": _ratio(paced, OURS, PLAIN_COPY) if paced else None,
        "extraction": [{**asdict(each), "ratio": round(each.ratio, 3)} for each in extractions],
        "simulated_140_gb": [{**asdict(one), "of_linear": one.of_linear} for one in simulated],
        **about,
    }
    _print_findings(result, rss, simulated)
    return result


def findings(rows: Rows, rss: dict[int, float], extractions: list[Extraction]) -> dict[str, object]:
    """The ratios that have goals, and those that explain them."""
    gnu_tar = next((each for each in extractions if each.reader == next(iter(READERS))), None)
    return {
        "ratio_to_plain_copy": _ratio(rows, OURS, PLAIN_COPY),
        "ratio_over_tarfile_gz": _ratio(rows, OURS, TARFILE),
        "peak_rss_mib": round(max(rss.values()), 1),
        "peak_rss_mib_by_bytes": {str(size): round(peak, 1) for size, peak in rss.items()},
        "extraction_ratio_to_tar": None if gnu_tar is None else round(gnu_tar.ratio, 3),
        "ratio_to_bare_copy": _ratio(rows, OURS, BARE_COPY),
        "ratios_to_plain_copy": {way.title: _ratio(rows, way, way.limit) for way in rows},
    }


def _compare(loopback: Servers, model: Model, scale: Scale, ways: Sequence[Way]) -> Rows:
    """Every way that this machine can run; each takes its turn in every round."""
    rows: Rows = {}
    for way in ways:
        if way.program and not shutil.which(way.program):
            print(f"{way.title:27} not measured: {way.program} is not installed", flush=True)
            continue
        is_smaller = way.over_disk and model is not loopback.real
        rows[way] = Row(way, scale.size_over_disk if is_smaller else model.file.size)
    smallest = loopback.generated[min(scale.rss_sizes)]
    for way in rows:
        _once(loopback, smallest, way, bucket=CHECKED_BUCKET)
    for turn in range(scale.runs):
        for way, row in rows.items():
            if turn < scale.runs_of(way):
                its_model = model if model is loopback.real else loopback.generated[row.model_bytes]
                row.outcomes.append(_once(loopback, its_model, way))
                if sys.stderr.isatty():
                    print(f"{turn + 1}/{scale.runs} {way.title}\033[K", end="\r", file=sys.stderr)
    for row in rows.values():
        print(row.line(), flush=True)
    return rows


def _compare_paced() -> Rows:
    """As fast as a function's network, where the workers wait for that and not for the processor."""
    print(f"\neach body at no more than {PACED_BYTES_PER_SECOND / _MEGABYTE:.0f} MB/s\n{_HEADER}")
    rows: Rows = {}
    with servers([_WARM_UP_BYTES, PACED_SIZE], PACED_BYTES_PER_SECOND) as loopback:
        for way in WAYS:
            if not way.over_disk:
                outcomes = [_once(loopback, loopback.generated[PACED_SIZE], way) for _ in range(PACED_RUNS)]
                rows[way] = Row(way, PACED_SIZE, outcomes)
                print(rows[way].line(), flush=True)
    return rows


def _once(loopback: Servers, model: Model, way: Way, *, bucket: str = UNCHECKED_BUCKET) -> Outcome:
    task = Task(
        way=way.name,
        hub_url=loopback.hub_url,
        s3_url=loopback.s3_url,
        model=model,
        key=f"models/{time.time_ns()}/model.tar.gz",
        bucket=bucket,
        workers=way.workers,
    )
    return run(task, loopback.generated[_WARM_UP_BYTES])


def _ratio(rows: Rows, way: Way, to: Way) -> float:
    return round(rows[way].rate / rows[to].rate, 3)


def _print_extractions(extractions: list[Extraction]) -> None:
    print(f"\n{'reader':27} {'ours MB/s':>9} {'plain tar MB/s':>14} {'ratio':>5}")
    for each in extractions:
        print(f"{each.reader:27} {each.ours:9.0f} {each.plain:14.0f} {each.ratio:5.2f}")
    for name, reader in READERS.items():
        if reader.missing:
            print(f"{name:27} not measured: {reader.missing} is not installed")


def _print_findings(result: dict[str, object], rss: dict[int, float], simulated: list[Simulated]) -> None:
    flat = ", ".join(f"{peak:.0f} MiB at {size / _MEGABYTE:.0f} MB" for size, peak in rss.items())
    print(
        f"""
ours / plain copy, one worker each:  {result["ratio_to_plain_copy"]} (goal: at least 0.9)
ours / bare copy, one worker each:   {result["ratio_to_bare_copy"]}
ours / tarfile w:gz:                 {result["ratio_over_tarfile_gz"]} (goal: at least 8)
a worker's peak memory:              {flat} (goal: at most 256 MiB and flat)
GNU tar -xzf ours / -xf plain tar:   {result["extraction_ratio_to_tar"]} (goal: at least 0.9)"""
    )
    for one in simulated:
        print(
            f"140 GB in simulation, {_count(one.workers, 'worker')}: planned in {one.planning_seconds:.2f} s "
            f"(goal: under 2), {one.of_linear:.3f} of linear speed-up (goal: at least 0.9)"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
