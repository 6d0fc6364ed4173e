"""The model's archive or files: what becomes of them, and how they fail."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from quant_llm_tools.local_aws.hosting_errors import AccessRefused, DeploymentFailed
from quant_llm_tools.local_aws.hosting_model_data import fetch_model_data, remove_model_data

URL = "s3://bucket/models/a/model.tar.gz"


class Body:
    """A streaming body: blocks of one object, `pause` seconds apart."""

    def __init__(self, content: bytes, pause: float) -> None:
        self.content = content
        self.pause = pause
        self.closed = False

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        for start in range(0, len(self.content), size):
            time.sleep(self.pause)
            yield self.content[start : start + size]

    def close(self) -> None:
        self.closed = True


class FakeS3:
    """GetObject of one object."""

    def __init__(self, content: bytes | None, *, pause: float = 0, code: str = "NoSuchKey") -> None:
        self.body = Body(content or b"", pause)
        self.missing = content is None
        self.code = code

    def get_object(self, **request: str) -> dict[str, Any]:
        assert request == {"Bucket": "bucket", "Key": "models/a/model.tar.gz"}
        if self.missing:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "GetObject")
        return {"Body": self.body}


def archive(**files: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid, member.gid = len(content), 0o664, 12345, 12345
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def fetch(s3: Any, directory: Path, timeout: float = 10) -> None:
    fetch_model_data(s3, URL, directory, timeout=timeout, cancelled=threading.Event())


def test_files_arrive_whole_and_read_only(tmp_path: Path) -> None:
    s3 = FakeS3(archive(model=b"x" * 3_000_000, **{"deep/er/" + "n" * 150: b"long names too"}))
    fetch(s3, tmp_path / "model")
    assert (tmp_path / "model/model").read_bytes() == b"x" * 3_000_000
    assert (tmp_path / "model/deep/er" / ("n" * 150)).read_bytes() == b"long names too"
    for path in (tmp_path / "model", *(tmp_path / "model").rglob("*")):
        assert path.stat().st_mode & 0o222 == 0
        assert path.stat().st_uid != 12345
    assert s3.body.closed


def test_read_only_model_can_be_removed(tmp_path: Path) -> None:
    fetch(FakeS3(archive(**{"a/b/c": b"1"})), tmp_path / "model")
    remove_model_data(tmp_path)
    assert not tmp_path.exists()


def test_missing_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentFailed, match=f"Could not find model data at {URL}"):
        fetch(FakeS3(None), tmp_path / "model")


def test_forbidden_object_is_told_apart_from_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(AccessRefused, match="no"):
        fetch(FakeS3(None, code="AccessDenied"), tmp_path / "model")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no archive at all", "not in gzip format"),
        (archive(model=bytes(range(256)) * 9000)[:-500], "unexpected end of file"),
    ],
    ids=["junk", "truncated"],
)
def test_broken_archive_says_what_tar_says(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(DeploymentFailed, match=f"Failed to extract model data archive.*{complaint}"):
        fetch(FakeS3(content), tmp_path / "model")


def test_download_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    slow = FakeS3(archive(model=os.urandom(8_000_000)), pause=0.2)
    started = time.monotonic()
    with pytest.raises(DeploymentFailed, match=r"timed out after 0\.5 seconds"):
        fetch(slow, tmp_path / "model", timeout=0.5)
    assert time.monotonic() - started < 2


def test_cancelled_download_ends_at_once(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(DeploymentFailed, match="being deleted"):
        fetch_model_data(
            cast(Any, FakeS3(archive(model=b"x"))), URL, tmp_path / "model", timeout=10, cancelled=cancelled
        )


class FakeBucket:
    """The objects of a bucket, by key, in pages of two."""

    def __init__(self, objects: dict[str, bytes], *, pause: float = 0) -> None:
        self.objects = objects
        self.pause = pause

    def get_paginator(self, operation: str) -> FakeBucket:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        assert Bucket == "bucket"
        found = [{"Key": key} for key in sorted(self.objects) if key.startswith(Prefix)]
        for start in range(0, len(found), 2):
            yield {"Contents": found[start : start + 2]}
        yield {}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        return {"Body": Body(self.objects[Key], self.pause)}


def fetch_prefix(bucket: FakeBucket, directory: Path, timeout: float = 10) -> None:
    fetch_model_data(
        cast(Any, bucket), "s3://bucket/m/files/", directory, timeout=timeout, cancelled=threading.Event()
    )


def test_the_objects_under_a_prefix_become_files(tmp_path: Path) -> None:
    objects = {
        "m/files/config.json": b"{}",
        "m/files/empty": b"",
        "m/files/model.gguf": os.urandom(3_000_000),
        "m/files/tokenizer/vocab.json": b"[]",
        "m/files.manifest.json": b"beside it",
    }
    fetch_prefix(FakeBucket(objects), tmp_path / "model")
    files = {
        str(path.relative_to(tmp_path / "model")): path.read_bytes()
        for path in (tmp_path / "model").rglob("*")
        if path.is_file()
    }
    assert files == {
        key.removeprefix("m/files/"): content
        for key, content in objects.items()
        if key.startswith("m/files/")
    }
    for path in (tmp_path / "model", *(tmp_path / "model").rglob("*")):
        assert path.stat().st_mode & 0o222 == 0


def test_a_prefix_with_nothing_under_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentFailed, match="Could not find model data at s3://bucket/m/files/"):
        fetch_prefix(FakeBucket({"m/filesystem": b""}), tmp_path / "model")


@pytest.mark.parametrize("key", ["m/files/../out", "m/files//x", "m/files/folder/", "m/files/./x"])
def test_a_key_that_can_not_be_a_file_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(DeploymentFailed, match="can not be a file of the model"):
        fetch_prefix(FakeBucket({key: b"x"}), tmp_path / "model")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("keys", [("a", "a/b"), ("a/b/c", "a/b")])
def test_a_file_that_is_anothers_folder_is_refused(tmp_path: Path, keys: tuple[str, str]) -> None:
    with pytest.raises(DeploymentFailed, match="clashes with another one"):
        fetch_prefix(FakeBucket({f"m/files/{key}": b"x" for key in keys}), tmp_path / "model")


def test_a_prefix_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(DeploymentFailed, match=r"timed out after 0\.3 seconds"):
        fetch_prefix(FakeBucket({"m/files/a": bytes(8 << 20)}, pause=0.2), tmp_path / "model", timeout=0.3)
