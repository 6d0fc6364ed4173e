"""The ways from the hub into S3 that `repack.py` compares, each run in a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import urllib3
from botocore.config import Config

from benchmarks.loopback import COMMIT, SPAWN, Model
from benchmarks.repack_driver import drive
from quant_llm_repack.edges import Edges
from quant_llm_repack.hub import HubRepository
from quant_llm_repack.plan import ArchivePlan
from quant_llm_repack.repack import repack
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.store import ArtifactStore
from quant_llm_repack.tasks import run_task

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "benchmark"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run of a way, `workers` of it at once."""

    way: str
    hub_url: str
    s3_url: str
    model: Model
    workers: int = 1

    @property
    def source_url(self) -> str:
        """Where the file is."""
        return self.model.url(self.hub_url)

    @property
    def key(self) -> str:
        """A key that no run before has taken."""
        return f"models/{time.time_ns()}/model.tar.gz"

    def s3(self) -> S3Client:
        """As the repack function's on AWS: over HTTPS, boto3 does not hash a body for its signature."""

        return boto3.client(
            "s3",
            endpoint_url=self.s3_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - of no account
            config=Config(
                s3={"payload_signing_enabled": False, "addressing_style": "path"}, max_pool_connections=64
            ),
        )


@dataclass(frozen=True)
class Outcome:
    """What a run took: wall time, the process's own CPU time, and its peak of resident memory."""

    seconds: float
    cpu_seconds: float
    peak_rss_mib: float


class WayFailedError(Exception):
    """A run did not end well."""


def run(task: Task) -> Outcome:
    """Run a way in a fresh process, whose start is not timed."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=_run_here, args=(task, theirs))
    process.start()
    theirs.close()
    try:
        outcome: Outcome = ours.recv()
    except EOFError:
        raise WayFailedError(f"{task.way} failed, see above") from None
    finally:
        process.join()
    return outcome


def _run_here(task: Task, pipe: Connection) -> None:
    way = WAYS[task.way]
    task.s3()  # boto3 reads its models of S3
    began, cpu_began = time.perf_counter(), time.process_time()
    way(task)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    pipe.send(Outcome(seconds, cpu_seconds, peak_rss_mib()))


def peak_rss_mib() -> float:
    """Of this process alone: getrusage would count the one that it was forked from too."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if peak is None:
        raise WayFailedError("/proc/self/status has no VmHWM: this benchmark needs Linux")
    return int(peak[1]) / 1024


def request_of(task: Task) -> ArtifactRequest:
    """What the stack would ask of the repack function."""
    return ArtifactRequest(
        repository=task.model.repository,
        commit=COMMIT,
        files=(task.model.file,),
        bucket=BUCKET,
        key=task.key,
    )


@dataclass
class _Context:
    """Lambda's, at the beginning of a call."""

    log_stream_name: str = "benchmark"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def ours(task: Task) -> None:
    """The tasks of the repack's state machine, with every byte's sha256 checked.

    In AWS each worker is a Lambda function of its own, here all are threads of one process.
    """

    s3 = task.s3()
    environment = {"HF_ENDPOINT": task.hub_url, "WORKERS": str(task.workers)}
    with Path(os.devnull).open("w") as log, contextlib.redirect_stdout(log):
        drive(
            lambda event: run_task(event, _Context(), Edges(s3=lambda: s3, environment=environment)),
            request_of(task).to_properties(),
            workers=task.workers,
        )


def ours_in_one_call(task: Task) -> None:
    """The repack function without a state machine, with every byte's sha256 checked."""

    request = request_of(task)
    repack(
        request,
        source=lambda: HubRepository(request, endpoint=task.hub_url),
        store=ArtifactStore(task.s3(), BUCKET),
        report=lambda progress: None,
    )


def plain_copy(task: Task) -> None:
    """The limit: ranges of a part's size from the hub, as they are, as parts to S3; nothing is checked.

    Each worker reads into memory that it keeps, which is faster than a new buffer for each part.
    """

    s3, key, size = task.s3(), task.key, task.model.file.size
    part_bytes = ArchivePlan([task.model.file]).part(1).payload_bytes
    http = urllib3.PoolManager(maxsize=task.workers)
    upload_id = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    starts = list(enumerate(range(0, size, part_bytes), start=1))

    def work(mine: list[tuple[int, int]]) -> list[tuple[int, str]]:
        done = []
        body = io.BytesIO()
        for number, start in mine:
            headers = {"Range": f"bytes={start}-{min(start + part_bytes, size) - 1}"}
            body.seek(0)
            body.truncate(min(part_bytes, size - start))
            with http.request("GET", task.source_url, headers=headers, preload_content=False) as response:
                while chunk := response.read(CHUNK_BYTES):
                    body.write(chunk)
            body.seek(0)
            answer = s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload_id, PartNumber=number, Body=body)
            done.append((number, answer["ETag"]))
        return done

    with ThreadPoolExecutor(task.workers) as pool:
        shares = [starts[worker :: task.workers] for worker in range(task.workers)]
        tags = sorted(tag for done in pool.map(work, shares) for tag in done)
    s3.complete_multipart_upload(
        Bucket=BUCKET,
        Key=key,
        UploadId=upload_id,
        MultipartUpload={"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in tags]},
    )


def tar_gzip(task: Task) -> None:
    """Download to disk, `tar czf`, upload."""
    _through_disk(task, lambda folder, archive: _shell("tar", "czf", archive, "-C", folder, "."))


def tar_pigz(task: Task) -> None:
    """Download to disk, `tar cf - | pigz -1`, upload."""
    _through_disk(
        task, lambda folder, archive: _shell("tar", "-I", "pigz -1", "-cf", archive, "-C", folder, ".")
    )


def tarfile_gz(task: Task) -> None:
    """Download to disk, Python's tarfile with `w:gz` (level 9) as the SageMaker SDK repacks, upload."""

    def pack(folder: Path, archive: Path) -> None:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, arcname=".")

    _through_disk(task, pack)


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
        task.s3().upload_file(str(archive), BUCKET, task.key)


def _shell(*command: str | Path) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - the commands above


WAYS: dict[str, Callable[[Task], None]] = {
    "ours": ours,
    "ours in one call": ours_in_one_call,
    "plain copy": plain_copy,
    "tar czf": tar_gzip,
    "tar | pigz -1": tar_pigz,
    "tarfile w:gz": tarfile_gz,
}
