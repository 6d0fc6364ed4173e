"""Repacks under faults by chance: each ends with the right objects or in a clear error, and leaves nothing.

    python -m tests.faults.run --runs 1000 --seed 1

A failure prints its seed, and `--runs 1 --seed <that>` replays it, call by call.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass
from unittest import mock

from benchmarks.repack_driver import ExecutionFailed, drive
from quant_llm_repack.edges import Edges
from quant_llm_repack.ended import clear_up
from quant_llm_repack.errors import RepackError
from quant_llm_repack.records import WORK_PREFIX
from tests.faults.scheduler import Group, Scheduler
from tests.faults.world import (
    FUNCTION_SECONDS,
    Context,
    Faults,
    FaultyLambda,
    FaultyS3,
    FaultyWeb,
    contents_by_chance,
)
from tests.unit.repack.fake_web import HUB
from tests.unit.repack.sources import ARCHIVE_KEY, PREFIX_KEY, artifact_request
from tests.unit.repack.test_render import objects_of

RESTARTS = 3


@dataclass(frozen=True)
class Outcome:
    """How a run of an `artifact` ended: `error` is None when it was published by all who tried.

    `faults` is how often each kind struck.
    """

    artifact: str
    error: str | None
    faults: dict[str, int]
    virtual_seconds: float


def run(seed: int) -> Outcome:
    """One repack, or two of the same artifact at once, under faults; AssertionError for a wrong end."""
    source = random.Random(seed)  # noqa: S311  # no secret: a replay needs the same
    contents = contents_by_chance(source)
    request = artifact_request(contents, key=source.choice([ARCHIVE_KEY, PREFIX_KEY]))
    scheduler = Scheduler(seed)
    faults = Faults.drawn(source)
    web = FaultyWeb(contents, request, faults, scheduler)
    s3 = FaultyS3(faults, scheduler)
    workers = source.choice([1, 2, 3, 5, 20])
    edges = Edges(
        s3=lambda: s3.client,
        http=web,
        sleep=scheduler.pause,
        clock=lambda: scheduler.now,
        executor=scheduler.executor,
        environment={"HF_ENDPOINT": HUB, "WORKERS": str(workers)},
        blocks_per_part=source.choice([1, 2, 5]),
    )
    deploys = source.choice([1, 1, 1, 2])
    restarts = source.choice([0, 0, 0, 1, RESTARTS])
    errors: list[str | None] = []

    def hear_of_the_end() -> None:
        given = {"Request": request.to_properties(), "WaitHandle": ""}
        detail = {"executionArn": "arn", "status": "ABORTED", "input": json.dumps(given)}
        for _ in range(3):  # so often does Lambda try an event of EventBridge
            scheduler.pause(source.uniform(0, 5))
            with contextlib.suppress(RepackError):
                clear_up({"detail": detail}, Context(scheduler, scheduler.now), edges)
                break

    def deploy() -> None:
        function = FaultyLambda(scheduler, faults, lambda: edges)

        def execute() -> dict[str, object]:
            return drive(
                function.invoke,
                request.to_properties(),
                workers=workers,
                executor=scheduler.leaving_executor,
                sleep=scheduler.pause,
            )

        for _ in range(restarts):  # somebody stops an execution, and starts the next one
            group = Group()
            execution = scheduler.in_group(group, execute)
            try:
                with contextlib.suppress(ExecutionFailed):
                    execution.result(source.uniform(0.1, 20))
            except TimeoutError:
                scheduler.in_group(Group(), hear_of_the_end)
            group.is_killed = True
            if source.random() < 0.5:  # what the function does goes on when its execution is stopped
                function.kill_all()
        try:
            execute()
            errors.append(None)
        except ExecutionFailed as error:
            errors.append(str(error))

    def everything() -> None:
        started = [scheduler.in_group(Group(), deploy) for _ in range(deploys)]
        for each in started:
            each.result()
        scheduler.pause(2 * FUNCTION_SECONDS)  # whatever still runs goes on, and must do no harm

    with (
        contextlib.redirect_stdout(io.StringIO()) as log,
        mock.patch("quant_llm_lambda.retry._RANDOM", random.Random(seed)),  # noqa: S311  # as above
    ):
        scheduler.run(everything)
    visible = {key for key in s3.objects if not key.startswith(WORK_PREFIX)}
    expected = objects_of(request, contents)
    if None in errors:
        assert visible == {*expected, request.manifest_key}, visible
    else:  # the manifest may be missing: S3 failed once verified objects were published
        assert visible <= {*expected, request.manifest_key}, (visible, errors)
    if (deploys, restarts) == (1, 0) and any(error and "of the lock" in error for error in errors):
        assert not visible, visible  # a wrong byte was found before anything was published
    if request.manifest_key in visible:
        assert visible >= set(expected), visible
    for key in visible - {request.manifest_key}:
        assert s3.objects[key].body == expected[key], key
    assert not s3.uploads, s3.uploads.keys()
    for error in errors:
        assert error is None or (error and "\n" not in error and "bug" not in error), (error, log.getvalue())
    return Outcome(
        "prefix" if request.is_prefix else "archive",
        next((each for each in errors if each), None),
        faults.happened,
        scheduler.now,
    )


def main(arguments: list[str]) -> int:
    """Run `--runs` seeds from `--seed` on; 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    faults: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    failed = []
    for seed in range(given.seed, given.seed + given.runs):
        try:
            outcome = run(seed)
        except Exception as error:
            failed.append(seed)
            print(f"seed {seed} failed: {type(error).__name__}: {error}", flush=True)
            print(f"  replay it: python -m tests.faults.run --runs 1 --seed {seed}", flush=True)
            continue
        faults.update(outcome.faults)
        ends[f"{outcome.artifact}, {'published' if outcome.error is None else 'clear error'}"] += 1
        if given.runs == 1:
            print(outcome)
    struck = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()))
    print(f"{given.runs} runs: {dict(ends)}, {len(failed)} failed; faults: {struck}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
