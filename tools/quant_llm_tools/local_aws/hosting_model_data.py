"""A model's archive or files, from S3 into the folder that the container sees as /opt/ml/model."""

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

from quant_llm_tools.local_aws.hosting_errors import DeploymentFailed, raise_if_refused

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_BLOCK_BYTES = 1 << 20
_NOT_THERE = ("NoSuchKey", "NoSuchBucket", "404")


class _Watch:
    """Ends a download that is cancelled, or whose time is over."""

    def __init__(self, url: str, timeout: float, cancelled: threading.Event) -> None:
        self._deadline = time.monotonic() + timeout
        self._cancelled = cancelled
        self.late = DeploymentFailed(
            f"The model data download for the primary container timed out after {timeout:g} seconds: {url}. "
            "Increase ModelDataDownloadTimeoutInSeconds."
        )

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        if self._cancelled.is_set():
            raise DeploymentFailed("The endpoint is being deleted.")
        if not self.seconds_left:
            raise self.late


def fetch_model_data(
    s3: S3Client, url: str, directory: Path, *, timeout: float, cancelled: threading.Event
) -> None:
    """Bring what is at `url` (`s3://bucket/key`) into the new folder `directory`, and make it read-only.

    A key that ends in a slash is a prefix, whose objects become files by the rest of their keys. Anything
    else is an archive that is unpacked. `timeout` covers the whole, in seconds.

    Raises DeploymentFailed, worded as SageMaker words it, if there is no such object, if it isn't a whole
    tar.gz, if keys can't be files, if the time is over, or when it is `cancelled`. Raises AccessRefused if
    the client's role may not read it.
    """
    watch = _Watch(url, timeout, cancelled)
    directory.mkdir(parents=True)
    if url.endswith("/"):
        _copy_files(s3, url, directory, watch)
    else:
        _unpack(s3, url, directory, watch)
    _make_read_only(directory)


def _copy_files(s3: S3Client, url: str, directory: Path, watch: _Watch) -> None:
    address = urlsplit(url)
    prefix = address.path.lstrip("/")
    with _explained(url):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=address.netloc, Prefix=prefix)
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    if not keys:
        raise DeploymentFailed(f"Could not find model data at {url}.")
    for key in keys:
        path = directory / key.removeprefix(prefix)
        if {"", ".", ".."} & set(key.removeprefix(prefix).split("/")):
            raise DeploymentFailed(f"The object s3://{address.netloc}/{key} can not be a file of the model.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for block in _download(s3, address.netloc, key):
                    watch.check()
                    file.write(block)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise DeploymentFailed(
                f"The object s3://{address.netloc}/{key} clashes with another one: one can't be a file and "
                "the other's folder."
            ) from None


def _unpack(s3: S3Client, url: str, directory: Path, watch: _Watch) -> None:
    """The bytes go straight through `tar -xz`, as GNU tar reads them: no second copy on the disk."""
    address = urlsplit(url)
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
                for block in _download(s3, address.netloc, address.path.lstrip("/")):
                    watch.check()
                    tar.stdin.write(block)
            status = tar.wait(watch.seconds_left)
        except subprocess.TimeoutExpired:
            raise watch.late from None
        finally:
            tar.kill()
            tar.wait()
        if status != 0:
            raise DeploymentFailed(
                f'Failed to extract model data archive from URL "{url}". Please ensure that the object '
                f"located at the URL is a valid tar.gz archive: {_first_line(complaints)}"
            )


def _download(s3: S3Client, bucket: str, key: str) -> Iterator[bytes]:
    with _explained(f"s3://{bucket}/{key}"):
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
        with contextlib.closing(body):
            yield from body.iter_chunks(_BLOCK_BYTES)


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn boto3's errors into SageMaker's words."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in _NOT_THERE:
            raise DeploymentFailed(f"Could not find model data at {url}.") from error
        raise_if_refused(error)
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
