"""The comparison behind `repack.py`: which ways run on what, how often, and what comes of it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass, field
from statistics import median

from benchmarks.loopback import Model, Servers, servers
from benchmarks.machine import machine
from benchmarks.repack_extraction import Extraction, measure_extraction
from benchmarks.repack_simulation import simulate
from benchmarks.repack_ways import Outcome, Task, run

_MEGABYTE = 1_000_000
_EXPLANATION = """\
Hub and S3 are processes of their own on this machine's loopback. The S3 is a stand-in that checks each
body's length and CRC-32 and discards it: moto keeps every byte and takes 110 to 280 MB/s, which would be what
is measured. Each run is a fresh process, timed without its start; the ways take turns. `plain copy` is the
limit: the same ranges to the same parts, nothing hashed, framed or checked. Rates are bytes of the model by
wall time, medians of the runs; CPU and memory are those of the way's own Python process with all workers.
"""


@dataclass(frozen=True)
class Scale:
    """How much is measured; sizes in bytes.

    The ways over a disk are ten times slower, so a quick benchmark gives them less; rates are compared.
    """

    size: int
    size_over_disk: int
    runs: int
    runs_over_disk: int
    rss_sizes: tuple[int, ...]
    real_model: bool


QUICK = Scale(268 * _MEGABYTE, 40 * _MEGABYTE, 3, 1, (100 * _MEGABYTE, 268 * _MEGABYTE), real_model=False)
FULL = Scale(
    1000 * _MEGABYTE, 1000 * _MEGABYTE, 5, 5, tuple(n * _MEGABYTE for n in (100, 1000, 10_000)), True
)


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
    program: str = "python3"

    @property
    def title(self) -> str:
        """The name with the workers, where they are counted."""
        return self.name if self.over_disk else f"{self.name}, {_count(self.workers, 'worker')}"


OURS, PLAIN_COPY = Way("ours"), Way("plain copy")
TARFILE = Way("tarfile w:gz", over_disk=True)
WAYS = (
    OURS,
    Way("ours", workers=4),
    Way("ours in one call"),
    PLAIN_COPY,
    Way("plain copy", workers=4),
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

    def summary(self) -> dict[str, object]:
        """What `--json` says of it."""
        return {
            "way": self.way.title,
            "model_bytes": self.model_bytes,
            "mb_per_second": round(self.rate, 1),
            "runs": [asdict(one) for one in self.outcomes],
        }


def main() -> int:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs, within 45 seconds")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    about = machine(("tar", "pigz"))
    print(_EXPLANATION)
    print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)

    with servers(sorted({scale.size, scale.size_over_disk, *scale.rss_sizes})) as loopback:
        print(f"\n{_HEADER}")
        rows = _compare(loopback, loopback.generated[scale.size], scale)
        real = _compare(loopback, loopback.real, scale) if scale.real_model else {}
        rss = {size: _once(loopback, loopback.generated[size]).peak_rss_mib for size in scale.rss_sizes}
    paced = {} if arguments.quick else _compare_paced()
    simulated = [] if arguments.quick else simulate()
    extraction = measure_extraction(scale.size_over_disk, scale.runs)
    result = {
        "ratio_to_plain_copy": _ratio(rows, OURS, PLAIN_COPY),
        "ratio_over_tarfile_gz": _ratio(rows, OURS, TARFILE),
        "peak_rss_mib": round(max(rss.values()), 1),
        "peak_rss_mib_by_bytes": {str(size): round(peak, 1) for size, peak in rss.items()},
        "extraction_ratio_to_tar": round(extraction.ratio, 3),
        "extraction_mb_per_second": asdict(extraction),
        "quick": arguments.quick,
        **{f"{way.title} / plain copy": _ratio(rows, way, _limit(way)) for way in WAYS if way in rows},
        "generated": [row.summary() for row in rows.values()],
        "simulated_140_gb": [{**asdict(one), "of_linear": one.of_linear} for one in simulated],
        "paced": [row.summary() for row in paced.values()],
        "real": [row.summary() for row in real.values()],
        **about,
    }
    print(_findings(result, rss, extraction))
    for one in simulated:
        print(
            f"140 GB in simulation, {_count(one.workers, 'worker')}: planned in {one.planning_seconds:.2f} s "
            f"(goal: under 2), {one.of_linear:.2f} of linear speed-up (goal: at least 0.9)"
        )
    if arguments.json:
        print(json.dumps(result))
    return 0


def _compare(loopback: Servers, model: Model, scale: Scale) -> dict[Way, Row]:
    """Every way that this machine can run; each takes its turn in every round."""
    rows: dict[Way, Row] = {}
    for way in WAYS:
        if problem := _missing(way):
            print(f"{way.title:24} not measured: {problem}", flush=True)
            continue
        is_smaller = way.over_disk and model is not loopback.real
        rows[way] = Row(way, scale.size_over_disk if is_smaller else model.file.size)
    for turn in range(scale.runs):
        for way, row in rows.items():
            if turn < (scale.runs_over_disk if way.over_disk else scale.runs):
                its_model = model if model is loopback.real else loopback.generated[row.model_bytes]
                row.outcomes.append(_once(loopback, its_model, way))
                if sys.stderr.isatty():
                    print(f"{turn + 1}/{scale.runs} {way.title}\033[K", end="\r", file=sys.stderr)
    for row in rows.values():
        print(_line(row), flush=True)
    return rows


def _compare_paced() -> dict[Way, Row]:
    """As fast as a function's network, where the workers wait for that and not for the processor."""
    print(f"\neach body at no more than {PACED_BYTES_PER_SECOND / _MEGABYTE:.0f} MB/s\n{_HEADER}")
    rows: dict[Way, Row] = {}
    with servers([PACED_SIZE], PACED_BYTES_PER_SECOND) as loopback:
        for way in WAYS:
            if not way.over_disk:
                outcomes = [_once(loopback, loopback.generated[PACED_SIZE], way) for _ in range(PACED_RUNS)]
                rows[way] = Row(way, PACED_SIZE, outcomes)
                print(_line(rows[way]), flush=True)
    return rows


def _once(loopback: Servers, model: Model, way: Way = OURS) -> Outcome:
    task = Task(
        way=way.name, hub_url=loopback.hub_url, s3_url=loopback.s3_url, model=model, workers=way.workers
    )
    return run(task)


def _missing(way: Way) -> str | None:
    """Why a way can't be run here."""
    if way.over_disk and not shutil.which(way.program) and way.program != "python3":
        return f"{way.program} is not installed"
    return None


def _limit(way: Way) -> Way:
    return Way("plain copy", workers=way.workers)


def _ratio(rows: dict[Way, Row], way: Way, to: Way) -> float:
    return round(rows[way].rate / rows[to].rate, 3)


_HEADER = (
    f"{'way':24} {'model MB':>9} {'runs':>5} {'MB/s':>7} {'slowest-fastest':>16} {'CPU s':>7} {'RSS MiB':>8}"
)


def _line(row: Row) -> str:
    cpu = median(one.cpu_seconds for one in row.outcomes)
    rss = max(one.peak_rss_mib for one in row.outcomes)
    spread = f"{row.rates[0]:.0f}-{row.rates[-1]:.0f}"
    return (
        f"{row.way.title:24} {row.model_bytes / _MEGABYTE:9.0f} {len(row.outcomes):5} {row.rate:7.0f} "
        f"{spread:>16} {cpu:7.2f} {rss:8.0f}"
    )


def _findings(result: dict[str, object], rss: dict[int, float], extraction: Extraction) -> str:
    flat = ", ".join(f"{peak:.0f} MiB at {size / _MEGABYTE:.0f} MB" for size, peak in rss.items())
    return "\n".join(
        [
            "",
            f"ours / plain copy, one worker:  {result['ratio_to_plain_copy']} (goal: at least 0.9)",
            f"ours / tarfile w:gz:            {result['ratio_over_tarfile_gz']} (goal: at least 8)",
            f"a worker's peak memory:         {flat} (goal: at most 256 MiB and flat)",
            f"GNU tar xzf ours / tar xf:      {extraction.ratio:.2f} ({extraction.ours:.0f} and "
            f"{extraction.tar:.0f} MB/s; goal: at least 0.9)",
        ]
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
