"""140 files of 1 GB by 1, 10 and 100 workers on a virtual clock: how the work divides, not how fast code is.

The function's true code makes true bytes; only its clock is simulated, and everything is smaller by 128:
parts of 8 blocks, files of 1 GB / 128, and a network of 75 MB/s / 128 a worker in each direction. Times are
those of the full size.
"""

from __future__ import annotations

import collections
import hashlib
import io
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, cast

from benchmarks.repack_driver import drive
from quant_llm_repack.archive import BLOCK_BYTES
from quant_llm_repack.deadline import Deadline
from quant_llm_repack.edges import Edges
from quant_llm_repack.hub import HubRepository
from quant_llm_repack.plan import BLOCKS_PER_PART, ArchivePlan
from quant_llm_repack.records import WORK_PREFIX
from quant_llm_repack.request import ArtifactRequest, SourceFile
from quant_llm_repack.tasks import run_task
from quant_llm_repack.work import work_items
from tests.faults.scheduler import Group, Scheduler
from tests.unit.repack.fake_s3 import FakeS3

FILES = 140
FILE_BYTES = 1_000_000_000
NETWORK_BYTES_PER_SECOND = 75e6  # of one worker in each direction
HASH_BYTES_PER_SECOND = 1.6e9
S3_SECONDS = 0.03  # until a small request is answered
SCALE = 128

_BLOCKS_PER_PART = BLOCKS_PER_PART // SCALE
_PART_BYTES = _BLOCKS_PER_PART * BLOCK_BYTES * SCALE
_PATTERN = hashlib.shake_128(b"simulation").digest(FILE_BYTES // SCALE)


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """One count of workers: seconds of the real machine for planning, of the virtual clock for the repack."""

    workers: int
    items: int
    planning_seconds: float
    seconds: float
    speed_up: float  # over one worker

    @property
    def of_linear(self) -> float:
        """The speed-up's part of the number of workers."""
        return self.speed_up / self.workers


def simulate(workers: Iterable[int] = (1, 10, 100)) -> list[Simulated]:
    """Repack the model with each count of workers."""
    alone = virtual_seconds(1)
    return [_simulated(count, alone) for count in workers]


def _simulated(workers: int, alone: float) -> Simulated:
    began = time.perf_counter()
    plan = ArchivePlan(model(FILES, FILE_BYTES, "0" * 64).files)
    items = work_items(plan, workers)
    collections.deque(plan.parts(), maxlen=0)
    planning = time.perf_counter() - began
    seconds = alone if workers == 1 else virtual_seconds(workers)
    return Simulated(
        workers=workers,
        items=len(items),
        planning_seconds=planning,
        seconds=seconds,
        speed_up=alone / seconds,
    )


def model(files: int, file_bytes: int, sha256: str) -> ArtifactRequest:
    """A request for files of one size and hash."""
    return ArtifactRequest(
        repository="acme/model",
        commit="0" * 40,
        files=tuple(
            SourceFile(path=f"model-{number:05}-of-{files:05}.safetensors", size=file_bytes, sha256=sha256)
            for number in range(1, files + 1)
        ),
        bucket="models",
        key="models/simulated/0/model.tar.gz",
    )


def virtual_seconds(workers: int, files: int = FILES) -> float:
    """How long `workers` workers take until the archive is published."""
    scheduler = Scheduler(in_order=True)
    request = model(files, len(_PATTERN), hashlib.sha256(_PATTERN).hexdigest())
    edges = _Edges(
        scheduler=scheduler,
        s3=lambda: s3.client,
        sleep=scheduler.pause,
        clock=lambda: scheduler.now,
        executor=scheduler.executor,
        environment={"WORKERS": str(workers)},
        blocks_per_part=_BLOCKS_PER_PART,
    )
    s3 = _S3(scheduler)

    def invoke(event: dict[str, Any]) -> dict[str, Any]:
        future = scheduler.in_group(Group(), lambda: run_task(event, _Context(), edges))
        return future.result()

    with redirect_stdout(io.StringIO()):
        scheduler.run(
            lambda: drive(
                invoke,
                request.to_properties(),
                workers=workers,
                executor=scheduler.executor,
                sleep=scheduler.pause,
            )
        )
    if s3.published_at is None or len(s3.objects[request.key].body) != ArchivePlan(request.files).total_bytes:
        raise ValueError("the simulated archive has another length than planned")
    return s3.published_at


class _Context:
    log_stream_name = "simulation"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@dataclass(frozen=True, kw_only=True)
class _Edges(Edges):
    scheduler: Scheduler

    def hub(self, request: ArtifactRequest, deadline: Deadline) -> HubRepository:
        return cast("HubRepository", _Hub(_Line(self.scheduler)))  # what the tasks use of it


class _Line:
    """A worker's network in one direction, which its threads share."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._free_at = 0.0

    def carry(self, count: int) -> None:
        now = self._scheduler.now
        self._free_at = max(now, self._free_at) + count * SCALE / NETWORK_BYTES_PER_SECOND
        self._scheduler.pause(self._free_at - now)


class _Hub:
    def __init__(self, line: _Line) -> None:
        self._line = line

    def check(self, files: Iterable[SourceFile]) -> None:
        """There is nothing to ask."""

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        self._line.carry(stop - start)
        yield _PATTERN[start:stop]


class _S3(FakeS3):
    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(min_part_bytes=0, on_call=lambda operation: scheduler.pause(S3_SECONDS))
        self._scheduler = scheduler
        self.published_at: float | None = None

    def complete_multipart_upload(self, **given: Any) -> None:
        super().complete_multipart_upload(**given)
        self.published_at = self._scheduler.now

    def put_object(self, *, Key: str, **given: Any) -> None:
        if Key.startswith(WORK_PREFIX):  # a record is written when a part has been hashed
            self._scheduler.pause(_PART_BYTES / HASH_BYTES_PER_SECOND)
        super().put_object(Key=Key, **given)

    def upload_part(self, *, ContentLength: int, **given: Any) -> dict[str, Any]:
        self._scheduler.pause(ContentLength * SCALE / NETWORK_BYTES_PER_SECOND)
        return super().upload_part(ContentLength=ContentLength, **given)


if __name__ == "__main__":
    for simulated in simulate(map(int, sys.argv[1:]) if sys.argv[1:] else (1, 10, 100)):
        print(json.dumps({**vars(simulated), "of_linear": round(simulated.of_linear, 3)}))
