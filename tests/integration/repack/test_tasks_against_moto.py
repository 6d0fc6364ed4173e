"""The state machine's tasks with true boto3 calls and threads: several workers on one file."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.repack_driver import ExecutionFailed, TaskFailed, drive
from quant_llm_repack.edges import Edges
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.tasks import run_task
from tests.integration.repack.test_handler_against_moto import (  # noqa: F401  # fixtures
    CONTENTS,
    REQUEST,
    Context,
    World,
    aws,
    world,
)
from tests.unit.repack.sources import PREFIX_KEY

WORKERS = 3
PREFIX = replace(REQUEST, key=PREFIX_KEY)


def invoke(event: dict[str, Any]) -> dict[str, Any]:
    edges = Edges(blocks_per_part=100)  # 6.5 MB: 11 parts
    try:
        return run_task(json.loads(json.dumps(event)), Context(), edges)
    except Exception as error:
        raise TaskFailed.of(error) from error


def repacked(world: World, request: ArtifactRequest = REQUEST) -> dict[str, Any]:  # noqa: F811  # the fixture
    properties = {**request.to_properties(), "TokenSecretArn": world.secret_arn}
    return drive(invoke, properties, workers=WORKERS, wait_handle=world.response_url, sleep=lambda _: None)


def test_workers_make_the_archive_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("WORKERS", str(WORKERS))
    assert repacked(world)["ModelDataUrl"] == REQUEST.url
    body = world.s3.get_object(Bucket=REQUEST.bucket, Key=REQUEST.key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body), mode="r|gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            assert file.read() == CONTENTS[member.name]
    assert world.keys() == sorted([REQUEST.key, REQUEST.manifest_key])
    assert world.uploads_under_way() == 0
    assert [answer["Status"] for answer in world.answers] == ["SUCCESS"]
    assert len(world.hub.ranges) > WORKERS
    repacked(world)
    assert [answer["Status"] for answer in world.answers] == ["SUCCESS", "SUCCESS"]


def test_a_wrong_byte_is_named_and_leaves_nothing(world: World) -> None:  # noqa: F811
    wrong = bytearray(CONTENTS["model.gguf"])
    wrong[30_000_000] ^= 1
    world.hub.cdn_contents["model.gguf"] = bytes(wrong)
    with pytest.raises(ExecutionFailed, match=hashlib.sha256(wrong).hexdigest()):
        repacked(world)
    assert (world.keys(), world.uploads_under_way()) == ([], 0)
    (answer,) = world.answers
    assert (answer["Status"], answer["UniqueId"]) == ("FAILURE", REQUEST.digest)
    assert answer["Reason"].startswith("model.gguf: the hub's file has sha256 ")


def test_workers_make_the_files_of_a_prefix(world: World, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("WORKERS", str(WORKERS))
    assert repacked(world, PREFIX)["ModelDataUrl"] == PREFIX.url
    keys = {f"{PREFIX_KEY}{path}": content for path, content in CONTENTS.items()}
    assert world.keys() == sorted([*keys, PREFIX.manifest_key])
    for key, content in keys.items():
        answer = world.s3.get_object(Bucket=PREFIX.bucket, Key=key)
        assert answer["Body"].read() == content
        assert answer["ContentType"] == "application/octet-stream"
    assert world.uploads_under_way() == 0
    ranges = len(world.hub.ranges)
    repacked(world, PREFIX)
    assert [answer["Status"] for answer in world.answers] == ["SUCCESS", "SUCCESS"]
    assert len(world.hub.ranges) == ranges


def test_a_wrong_byte_leaves_no_file_of_a_prefix(world: World) -> None:  # noqa: F811
    wrong = bytearray(CONTENTS["model.gguf"])
    wrong[30_000_000] ^= 1
    world.hub.cdn_contents["model.gguf"] = bytes(wrong)
    with pytest.raises(ExecutionFailed, match=hashlib.sha256(wrong).hexdigest()):
        repacked(world, PREFIX)
    assert (world.keys(), world.uploads_under_way()) == ([], 0)
