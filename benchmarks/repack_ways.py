"""The ways from the hub into S3 that `repack.py` compares, each with fresh processes as its workers."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
import urllib3
from botocore.config import Config

from benchmarks.discarding_s3 import UNCHECKED_BUCKET
from benchmarks.loopback import COMMIT, Model
from benchmarks.repack_driver import drive
from benchmarks.worker_processes import WorkerProcesses
from quant_llm_repack.archive import BLOCK_BYTES
from quant_llm_repack.edges import Edges
from quant_llm_repack.hub import HubRepository
from quant_llm_repack.plan import BLOCKS_PER_PART
from quant_llm_repack.render import PartBody
from quant_llm_repack.repack import repack
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.store import ArtifactStore
from quant_llm_repack.tasks import run_task

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHECKED_BUCKET = "checked"
CHUNK_BYTES = 1 << 20
PART_BYTES = BLOCKS_PER_PART * BLOCK_BYTES

Checksum = Literal["when_supported", "when_required"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run of a way, with so many workers at once."""

    way: str
    hub_url: str
    s3_url: str
    model: Model
    key: str
    bucket: str = UNCHECKED_BUCKET
    workers: int = 1

    @property
    def source_url(self) -> str:
        """Where the file is."""
        return self.model.url(self.hub_url)

    @property
    def request(self) -> ArtifactRequest:
        """What the stack would ask of the repack function."""
        return ArtifactRequest(
            repository=self.model.repository,
            commit=COMMIT,
            files=(self.model.file,),
            bucket=self.bucket,
            key=self.key,
        )


@dataclass(frozen=True)
class Outcome:
    """What a run took: wall time, its workers' CPU time together, and the largest one's resident memory."""

    seconds: float
    cpu_seconds: float
    peak_rss_mib: float


def run(task: Task, warm_up: Model) -> Outcome:
    """Run a way in fresh processes, after a run of the same ones on `warm_up`.

    What a process does once is not timed: its start, and what boto3 loads for its first request.
    """
    _s3(task.s3_url)
    with WorkerProcesses(task.workers, partial(_s3, task.s3_url)) as workers:
        WAYS[task.way](replace(task, model=warm_up, key=f"{task.key}.warm-up"), workers)
        before = workers.spent()
        began = time.perf_counter()
        WAYS[task.way](task, workers)
        seconds = time.perf_counter() - began
        spent = workers.spent()
    return Outcome(
        seconds=seconds,
        cpu_seconds=sum(each.cpu_seconds for each in spent) - sum(each.cpu_seconds for each in before),
        peak_rss_mib=max(each.peak_rss_mib for each in spent),
    )


@cache
def _s3(url: str, checksum: Checksum = "when_supported") -> S3Client:
    """Without a sha256 for the signature: boto3 leaves it out over HTTPS, and so does the repack function.

    With `checksum` "when_supported", boto3's default, botocore computes a CRC-32 where none is given.
    """
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - of no account
        config=Config(
            s3={"payload_signing_enabled": False, "addressing_style": "path"},
            max_pool_connections=64,
            request_checksum_calculation=checksum,
        ),
    )


@dataclass
class _Context:
    """Lambda's, at the beginning of a call."""

    log_stream_name: str = "benchmark"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def ours(task: Task, workers: WorkerProcesses) -> None:
    """The tasks of the repack's state machine, each in one of the workers, every byte's sha256 checked."""
    drive(
        lambda event: workers.call(_run_task, task, event),
        task.request.to_properties(),
        workers=task.workers,
    )


def _run_task(task: Task, event: dict[str, Any]) -> dict[str, Any]:
    environment = {"HF_ENDPOINT": task.hub_url, "WORKERS": str(task.workers)}
    edges = Edges(s3=lambda: _s3(task.s3_url), environment=environment)
    with Path(os.devnull).open("w") as log, contextlib.redirect_stdout(log):
        return run_task(event, _Context(), edges)


def ours_in_one_call(task: Task, workers: WorkerProcesses) -> None:
    """The repack function without a state machine, every byte's sha256 checked."""
    workers.call(_repack, task)


def _repack(task: Task) -> None:
    request = task.request
    repack(
        request,
        source=lambda: HubRepository(request, endpoint=task.hub_url),
        store=ArtifactStore(_s3(task.s3_url), task.bucket),
        report=lambda progress: None,
    )


def plain_copy(task: Task, workers: WorkerProcesses) -> None:
    """Ranges of a part's size from the hub, as they are, as parts to S3, with boto3 as it comes.

    Each worker takes a part after the other, into memory that it keeps.
    """
    _copy_parts(task, workers, "when_supported", io.BytesIO)


def bare_copy(task: Task, workers: WorkerProcesses) -> None:
    """The same without the CRC-32 that boto3 computes, and sent a MiB at a time as by the repack."""
    _copy_parts(task, workers, "when_required", PartBody)


def _copy_parts(task: Task, workers: WorkerProcesses, checksum: Checksum, body: type[io.BytesIO]) -> None:
    s3 = _s3(task.s3_url)
    upload_id = s3.create_multipart_upload(Bucket=task.bucket, Key=task.key)["UploadId"]
    starts = list(enumerate(range(0, task.model.file.size, PART_BYTES), start=1))
    shares = [starts[worker :: task.workers] for worker in range(task.workers)]
    with ThreadPoolExecutor(task.workers) as pool:
        done = pool.map(
            lambda share: workers.call(_copy_share, task, upload_id, share, checksum, body), shares
        )
        tags = sorted(tag for each in done for tag in each)
    s3.complete_multipart_upload(
        Bucket=task.bucket,
        Key=task.key,
        UploadId=upload_id,
        MultipartUpload={"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in tags]},
    )


def _copy_share(
    task: Task, upload_id: str, share: list[tuple[int, int]], checksum: Checksum, body_type: type[io.BytesIO]
) -> list[tuple[int, str]]:
    s3, http, size = _s3(task.s3_url, checksum), urllib3.PoolManager(), task.model.file.size
    done = []
    body = body_type()
    for number, start in share:
        headers = {"Range": f"bytes={start}-{min(start + PART_BYTES, size) - 1}"}
        body.seek(0)
        body.truncate(min(PART_BYTES, size - start))
        with http.request("GET", task.source_url, headers=headers, preload_content=False) as response:
            while chunk := response.read(CHUNK_BYTES):
                body.write(chunk)
        body.seek(0)
        answer = s3.upload_part(
            Bucket=task.bucket, Key=task.key, UploadId=upload_id, PartNumber=number, Body=body
        )
        done.append((number, answer["ETag"]))
    return done


def tar_gzip(task: Task, workers: WorkerProcesses) -> None:
    """Download to disk, `tar czf`, upload."""
    workers.call(_through_disk, task, _pack_by_gzip)


def tar_pigz(task: Task, workers: WorkerProcesses) -> None:
    """Download to disk, `tar cf - | pigz -1`, upload."""
    workers.call(_through_disk, task, _pack_by_pigz)


def tarfile_gz(task: Task, workers: WorkerProcesses) -> None:
    """Download to disk, Python's tarfile with `w:gz` (level 9) as the SageMaker SDK repacks, upload."""
    workers.call(_through_disk, task, _pack_by_tarfile)


def _pack_by_gzip(folder: Path, archive: Path) -> None:
    _shell("tar", "czf", archive, "-C", folder, ".")


def _pack_by_pigz(folder: Path, archive: Path) -> None:
    _shell("tar", "-I", "pigz -1", "-cf", archive, "-C", folder, ".")


def _pack_by_tarfile(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=".")


def _through_disk(task: Task, pack: Callable[[Path, Path], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="quantllm-benchmark-") as directory:
        folder, archive = Path(directory, "model"), Path(directory, "model.tar.gz")
        folder.mkdir()
        with (
            urllib3.PoolManager().request("GET", task.source_url, preload_content=False) as response,
            (folder / task.model.file.path).open("wb") as file,
        ):
            shutil.copyfileobj(response, file, CHUNK_BYTES)
        pack(folder, archive)
        _s3(task.s3_url).upload_file(str(archive), task.bucket, task.key)


def _shell(*command: str | Path) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - the commands above


WAYS: dict[str, Callable[[Task, WorkerProcesses], None]] = {
    "ours": ours,
    "ours in one call": ours_in_one_call,
    "plain copy": plain_copy,
    "bare copy": bare_copy,
    "tar czf": tar_gzip,
    "tar | pigz -1": tar_pigz,
    "tarfile w:gz": tarfile_gz,
}
