"""Which artifacts there are in a bucket, and who needs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quant_llm.agency import AgencyLock, ModelLock
from quant_llm.names import artifact_key
from quant_llm_tools.artifacts.inventory import Artifact, Holding, ObjectVersion, artifacts_of, holdings

LOCK = AgencyLock.read(Path(__file__).parents[2] / "fixtures" / "agencies" / "default.lock.json")
MODEL, MODEL_LOCK = next(iter(LOCK.models.items()))
NOW = datetime(2026, 6, 30, tzinfo=UTC)
DIGEST = "0f" * 32
FOLDER = f"models/{MODEL}/{DIGEST}/"


def version(key: str, *, size: int = 10, days: float = 30, version_id: str = "1") -> ObjectVersion:
    return ObjectVersion(key, version_id, size, NOW - timedelta(days=days))


def held(
    digest: str = DIGEST,
    *,
    days: float = 30,
    locks: dict[str, ModelLock] | None = None,
    served: dict[str, list[str]] | None = None,
    formats: dict[str, str] | None = None,
    artifact_format: str = "model.tar.gz",
) -> Holding:
    key = artifact_key(MODEL, digest, artifact_format)
    (holding,) = holdings(
        [Artifact(MODEL, digest, artifact_format, (version(key, days=days),))],
        bucket="bucket",
        locks=LOCK.models if locks is None else locks,
        formats=formats or {},
        served=served or {},
        now=NOW,
        recent=timedelta(days=7),
    )
    return holding


def test_an_artifact_has_all_versions_of_its_objects() -> None:
    versions = [
        version(FOLDER + "model.tar.gz", size=100, days=9),
        version(FOLDER + "model.tar.gz", size=50, days=12, version_id="0"),
        version(FOLDER + "manifest.json", size=1, days=8),
    ]
    (artifact,) = artifacts_of(versions)
    assert (artifact.model, artifact.digest) == (MODEL, DIGEST)
    assert artifact.bytes == 151
    assert artifact.modified == NOW - timedelta(days=8)


def test_the_two_formats_of_the_same_weights_are_two_artifacts() -> None:
    versions = [
        version(FOLDER + "model.tar.gz", size=100, days=1),
        version(FOLDER + "manifest.json", size=1, days=1),
        version(FOLDER + "files/shard.gguf", size=60),
        version(FOLDER + "files/tokenizer/vocab.json", size=40),
        version(FOLDER + "files.manifest.json", size=2),
    ]
    archive, prefix = artifacts_of(versions)
    assert (archive.format, archive.bytes, archive.key) == ("model.tar.gz", 101, FOLDER + "model.tar.gz")
    assert (prefix.format, prefix.bytes, prefix.key) == ("s3-prefix", 102, FOLDER + "files/")


@pytest.mark.parametrize(
    "key",
    [
        "models/note.txt",
        f"models/{MODEL}/not-a-digest/model.tar.gz",
        f"other/{MODEL}/{DIGEST}/model.tar.gz",
        f"models/a/b/{DIGEST}/model.tar.gz",
        f"models/{MODEL}/{DIGEST}",
    ],
)
def test_what_is_no_artifact_is_left_out(key: str) -> None:
    assert artifacts_of([version(key)]) == []


def test_artifacts_are_by_model_and_newest_first() -> None:
    keys = {
        f"models/b/{'1' * 64}/model.tar.gz": 3,
        f"models/b/{'2' * 64}/model.tar.gz": 1,
        f"models/a/{'3' * 64}/model.tar.gz": 2,
    }
    found = artifacts_of(version(key, days=days) for key, days in keys.items())
    assert [(one.model, one.digest[0]) for one in found] == [("a", "3"), ("b", "2"), ("b", "1")]


def test_an_old_artifact_that_nobody_needs_can_go() -> None:
    assert held().can_go


def test_the_artifact_that_a_lock_names_is_kept() -> None:
    holding = held(MODEL_LOCK.digest)
    assert holding.is_locked
    assert not holding.can_go


@pytest.mark.parametrize("artifact_format", ["model.tar.gz", "s3-prefix"])
def test_locked_weights_are_kept_in_the_format_of_the_agency_file(artifact_format: str) -> None:
    other = {"model.tar.gz": "s3-prefix", "s3-prefix": "model.tar.gz"}[artifact_format]
    formats = {MODEL: artifact_format}
    assert held(MODEL_LOCK.digest, formats=formats, artifact_format=artifact_format).is_locked
    assert held(MODEL_LOCK.digest, formats=formats, artifact_format=other).can_go
    assert held(MODEL_LOCK.digest, formats={}, artifact_format=other).is_locked


def test_a_prefix_that_an_endpoint_serves_is_kept_and_its_archive_is_not() -> None:
    served = {"default-a": [f"s3://bucket/{FOLDER}files/"]}
    assert held(served=served, artifact_format="s3-prefix").endpoints == ("default-a",)
    assert held(served=served, artifact_format="model.tar.gz").can_go


def test_the_lock_of_another_model_keeps_nothing() -> None:
    assert held(MODEL_LOCK.digest, locks={"another": MODEL_LOCK}).can_go


def test_a_recent_artifact_is_kept_until_the_day() -> None:
    assert not held(days=6.99).can_go
    assert held(days=7).can_go


@pytest.mark.parametrize(
    "url",
    [
        f"s3://bucket/{FOLDER}model.tar.gz",
        f"s3://bucket/{FOLDER}",  # uncompressed files under a prefix
        f"s3://bucket/models/{MODEL}/",
        f"s3://bucket/{FOLDER[:-5]}",  # S3 takes prefixes that end anywhere
    ],
)
def test_what_an_endpoint_serves_is_kept(url: str) -> None:
    holding = held(served={"default-a": [url], "default-b": ["s3://bucket/elsewhere/"]})
    assert holding.endpoints == ("default-a",)
    assert not holding.can_go


@pytest.mark.parametrize(
    "url", [f"s3://another/{FOLDER}model.tar.gz", f"s3://bucket/models/{MODEL}/{'1' * 64}/model.tar.gz"]
)
def test_other_data_of_an_endpoint_keeps_nothing(url: str) -> None:
    assert held(served={"default-a": [url]}).can_go
