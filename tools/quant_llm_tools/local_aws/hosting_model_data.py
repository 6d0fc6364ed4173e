"""A model's `model.tar.gz`, from S3 into the folder that the container sees as /opt/ml/model."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from quant_llm_tools.local_aws.hosting_errors import DeploymentFailed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BLOCK_BYTES = 1 << 20
_NOT_THERE = ("NoSuchKey", "NoSuchBucket", "404")


def fetch_model_data(
    s3: S3Client, url: str, directory: Path, *, timeout: float, cancelled: threading.Event
) -> None:
    """Download the archive at `url` (`s3://bucket/key`) and unpack it into the new folder `directory`.

    The bytes go straight through `tar -xz`, as GNU tar reads them: SageMaker's own way, and no second copy on
    the disk. What is unpacked is then made read-only. `timeout` covers both, in seconds.

    Raises DeploymentFailed, worded as SageMaker words it, if there is no such object, if it isn't a whole
    tar.gz, if the time is over, or when it is `cancelled`.
    """
    deadline = time.monotonic() + timeout
    late = DeploymentFailed(
        f"The model data download for the primary container timed out after {timeout:g} seconds: {url}. "
        "Increase ModelDataDownloadTimeoutInSeconds."
    )
    directory.mkdir(parents=True)
    with tempfile.TemporaryFile() as complaints:
        tar = subprocess.Popen(  # noqa: S603 - fixed arguments
            # Owners in the archive are those of the machine that packed it.
            ["tar", "-xzf", "-", "--no-same-owner", "-C", str(directory)],  # noqa: S607 - the system's tar
            stdin=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            assert tar.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
            # When tar gives up early, its own complaint says more than the broken pipe.
            with contextlib.suppress(BrokenPipeError), tar.stdin:
                for block in _download(s3, url):
                    if cancelled.is_set():
                        raise DeploymentFailed("The endpoint is being deleted.")
                    if time.monotonic() > deadline:
                        raise late
                    tar.stdin.write(block)
            status = tar.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise late from None
        finally:
            tar.kill()
            tar.wait()
        if status != 0:
            raise DeploymentFailed(
                f'Failed to extract model data archive from URL "{url}". Please ensure that the object '
                f"located at the URL is a valid tar.gz archive: {_first_line(complaints)}"
            )
    _make_read_only(directory)


def _download(s3: S3Client, url: str) -> Iterator[bytes]:
    address = urlsplit(url)
    try:
        body = s3.get_object(Bucket=address.netloc, Key=address.path.lstrip("/"))["Body"]
        with contextlib.closing(body):
            yield from body.iter_chunks(_BLOCK_BYTES)
    except ClientError as error:
        if error.response["Error"]["Code"] in _NOT_THERE:
            raise DeploymentFailed(f"Could not find model data at {url}.") from error
        raise DeploymentFailed(f"Could not access model data at {url}: {error}") from error
    except BotoCoreError as error:
        raise DeploymentFailed(f"Could not download model data at {url}: {error}") from error


def _first_line(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return lines[0] if lines else "no message from tar"


def _make_read_only(directory: Path) -> None:
    """SageMaker mounts the model read-only; here the modes say so, which root may ignore."""
    for parent, folders, files in os.walk(directory, topdown=False):
        for name in (*files, *folders):
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
    directory.chmod(directory.stat().st_mode & ~0o222)


def remove_model_data(directory: Path) -> None:
    """Remove a folder with read-only ones below it."""
    for parent, _, _ in os.walk(directory):
        Path(parent).chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)
