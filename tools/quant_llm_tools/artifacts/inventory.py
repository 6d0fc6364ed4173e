"""What is in a bucket and which of it may go: no AWS here.

An artifact is all versions of the objects of one format in a folder `models/<model>/<digest>/`: the archive
with its manifest, or the files under `files/` with theirs. The same weights can be there in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from quant_llm.agency import ModelLock
from quant_llm.names import ARCHIVE, ARTIFACT_PREFIX, S3_PREFIX, artifact_key

_KEY = re.compile(rf"{ARTIFACT_PREFIX}/([^/]+)/([0-9a-f]{{64}})/(files[./])?")


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """A version of an object, or a delete marker, which has no bytes."""

    key: str
    version_id: str
    bytes: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Artifact:
    """One model in one format, as an agency file names it; `digest` is that of the lock it was made from."""

    model: str
    digest: str
    format: str
    versions: tuple[ObjectVersion, ...]

    @property
    def key(self) -> str:
        """What an endpoint reads: the archive's key, or the prefix of the files."""
        return artifact_key(self.model, self.digest, self.format)

    @property
    def bytes(self) -> int:
        """What its deletion frees: old versions count too."""
        return sum(version.bytes for version in self.versions)

    @property
    def modified(self) -> datetime:
        """When its newest object came."""
        return max(version.modified for version in self.versions)


@dataclass(frozen=True, slots=True)
class Holding:
    """An artifact and who needs it: a lock, endpoints; `is_recent` when it is too young to tell."""

    artifact: Artifact
    is_locked: bool
    endpoints: tuple[str, ...]
    is_recent: bool

    @property
    def can_go(self) -> bool:
        """Whether nobody needs it."""
        return not (self.is_locked or self.endpoints or self.is_recent)


def artifacts_of(versions: Iterable[ObjectVersion]) -> list[Artifact]:
    """The artifacts that objects belong to, by model and then newest first; other objects are left out."""
    by_artifact: dict[tuple[str, str, str], list[ObjectVersion]] = {}
    for version in versions:
        if key := _KEY.match(version.key):
            of = key[1], key[2], S3_PREFIX if key[3] else ARCHIVE
            by_artifact.setdefault(of, []).append(version)
    artifacts = [Artifact(*of, tuple(found)) for of, found in by_artifact.items()]
    artifacts.sort(key=lambda artifact: artifact.modified, reverse=True)
    return sorted(artifacts, key=lambda artifact: artifact.model)


def holdings(
    artifacts: Iterable[Artifact],
    *,
    bucket: str,
    locks: Mapping[str, ModelLock],
    formats: Mapping[str, str],
    served: Mapping[str, Iterable[str]],
    now: datetime,
    recent: timedelta,
) -> list[Holding]:
    """Who needs each artifact of a bucket.

    `locks` are those of the agency's models by name, `formats` what the agency file has their artifacts in: a
    model that it does not name is kept in all. `served` is the model data of each endpoint by its name, as
    `s3://` URLs. What is younger than `recent` is kept: a deploy may be about to use it.
    """
    return [
        Holding(
            artifact,
            is_locked=artifact.model in locks
            and locks[artifact.model].digest == artifact.digest
            and formats.get(artifact.model, artifact.format) == artifact.format,
            endpoints=tuple(
                sorted(
                    name
                    for name, urls in served.items()
                    if any(_is_in(url, bucket, artifact) for url in urls)
                )
            ),
            is_recent=now - artifact.modified < recent,
        )
        for artifact in artifacts
    ]


def _is_in(url: str, bucket: str, artifact: Artifact) -> bool:
    """Whether a model's data is in the artifact, or is a prefix that the artifact is in."""
    address = urlsplit(url)
    key = address.path.removeprefix("/")
    return address.netloc == bucket and (key.startswith(artifact.key) or artifact.key.startswith(key))
