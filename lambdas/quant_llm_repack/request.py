"""What `Custom::ModelArtifact` asks for: the type that the construct and the function share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quant_llm_repack.errors import RequestError

MAX_SEGMENT_BYTES = 255  # the longest file name that Linux file systems take
MAX_KEY_BYTES = 1024  # the longest key that S3 takes

# Not of the artifact: how CloudFormation reaches the function, and where it waits for the end.
_OF_CLOUDFORMATION = {"ServiceToken", "ServiceTimeout", "WaitHandle"}
_OF_REQUEST = {"Repository", "Commit", "Files", "Bucket", "Key"}
_OPTIONAL = {"TokenSecretArn", "SourcePrefix"}
_SHA256_OF_NOTHING = hashlib.sha256().hexdigest()
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a file that is not of the artifact's own repository comes from, such as an adapter's."""

    repository: str
    commit: str
    path: str

    def __post_init__(self) -> None:
        """RequestError for what can't be a repository, a commit or a path in one."""
        _check_commit(self.repository, self.commit)
        _check_path(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """One file of the model: its path in the repository and the artifact, its bytes, their sha256 in hex.

    With `origin` it is another repository's, and `path` its path in the artifact alone.
    """

    path: str
    size: int
    sha256: str
    origin: Origin | None = None

    def __post_init__(self) -> None:
        """RequestError when the path could leave the model directory, or size or hash are no such thing."""
        _check_path(self.path)
        if self.size < 0:
            raise RequestError(f"{self.path!r}: size must be 0 or more, got {self.size}")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise RequestError(f"{self.path!r}: sha256 must be 64 lower-case hex digits, got {self.sha256!r}")
        if self.size == 0 and self.sha256 != _SHA256_OF_NOTHING:  # an empty file is not asked of the hub
            raise RequestError(
                f"{self.path!r}: sha256 of an empty file must be {_SHA256_OF_NOTHING}, got {self.sha256}"
            )


@dataclass(frozen=True, kw_only=True)
class ArtifactRequest:
    """One artifact: files of one commit of a hub repository, and of others, to be had from `bucket`.

    `key` is that of the archive. One that ends in a slash is a prefix: each file is an object under it, by
    its path. `files` are in order of path, which is their order in the archive. `token_secret_arn` names the
    secret of AWS Secrets Manager whose text is the hub token; None for a repository that needs none.
    `source_prefix`, which ends in a slash, is where in the bucket the files are, if a job has made them of
    the repository's: the hub is not asked then.
    """

    repository: str
    commit: str
    files: tuple[SourceFile, ...]
    bucket: str
    key: str
    token_secret_arn: str | None = None
    source_prefix: str | None = None

    def __post_init__(self) -> None:
        """Sort the files; RequestError when they clash or a name can't be one."""
        if not self.files:
            raise RequestError(f"{self.repository}: an artifact needs at least one file")
        object.__setattr__(self, "files", tuple(sorted(self.files, key=lambda file: file.path)))
        check_clashes(file.path for file in self.files)
        _check_commit(self.repository, self.commit)
        segments = self.key.removesuffix("/").split("/")
        if "" in segments or len(segments) < 2 or segments[-1].endswith("manifest.json"):
            raise RequestError(
                "Key must name the archive, such as 'models/chat/1/model.tar.gz', or a prefix, such as "
                f"'models/chat/1/files/', got {self.key!r}"
            )
        if self.source_prefix is not None and not re.fullmatch(r"([\w-]+/)+", self.source_prefix):
            raise RequestError(
                f"SourcePrefix must be a folder, such as 'made/1/files/', got {self.source_prefix!r}"
            )
        longest = max(self.files, key=lambda file: len(file.path.encode()))
        if self.is_prefix and len(f"{self.key}{longest.path}".encode()) > MAX_KEY_BYTES:
            raise RequestError(
                f"file path {longest.path!r} makes a key of more than {MAX_KEY_BYTES} bytes under "
                f"{self.key!r}, which S3 does not take"
            )

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> ArtifactRequest:
        """Read the resource's properties, in which CloudFormation has made every scalar a string.

        RequestError names the property that is missing, unknown or malformed.
        """
        given = set(properties) - _OF_CLOUDFORMATION
        if missing := sorted(_OF_REQUEST - given):
            raise RequestError(f"property {missing[0]!r} is missing")
        if unknown := sorted(given - _OF_REQUEST - _OPTIONAL):
            raise RequestError(
                f"property {unknown[0]!r} is not known; known are {_names(_OF_REQUEST | _OPTIONAL)}"
            )
        files = properties["Files"]
        if not isinstance(files, list):
            raise RequestError(f"Files must be a list, got {type(files).__name__}")
        secret = properties.get("TokenSecretArn")
        return cls(
            repository=_text(properties, "Repository"),
            commit=_text(properties, "Commit"),
            files=tuple(_file(index, file) for index, file in enumerate(files)),
            bucket=_text(properties, "Bucket"),
            key=_text(properties, "Key"),
            token_secret_arn=None if secret is None else _text(properties, "TokenSecretArn"),
            source_prefix=_text(properties, "SourcePrefix") if "SourcePrefix" in properties else None,
        )

    def to_properties(self) -> dict[str, Any]:
        """The properties for the template, every scalar a string as the function will see it."""
        properties: dict[str, Any] = {
            "Repository": self.repository,
            "Commit": self.commit,
            "Files": [_file_properties(file) for file in self.files],
            "Bucket": self.bucket,
            "Key": self.key,
        }
        if self.token_secret_arn is not None:
            properties["TokenSecretArn"] = self.token_secret_arn
        if self.source_prefix is not None:
            properties["SourcePrefix"] = self.source_prefix
        return properties

    @property
    def digest(self) -> str:
        """Sha256 over the files' paths, sizes and hashes: the digest of the lock's entry."""
        files = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in self.files]
        canonical = json.dumps({"files": files}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def url(self) -> str:
        """The artifact's address, `s3://bucket/key`: the resource's physical id and its ModelDataUrl."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_prefix(self) -> bool:
        """Whether the files are to be objects under the key, in place of one archive."""
        return self.key.endswith("/")

    @property
    def manifest_key(self) -> str:
        """The key of the manifest: `manifest.json` beside the archive, `files.manifest.json` beside `files/`.

        Not under the prefix, all of which is the model, and not one name for both: each is written when its
        own artifact is whole.
        """
        if self.is_prefix:
            return f"{self.key.removesuffix('/')}.manifest.json"
        return "".join(self.key.rpartition("/")[:2]) + "manifest.json"


def _text(properties: Mapping[str, Any], name: str) -> str:
    value = properties[name]
    if not isinstance(value, str) or not value:
        raise RequestError(f"{name} must be a text that is not empty, got {value!r}")
    return value


def _file(index: int, properties: Any) -> SourceFile:
    if not isinstance(properties, dict) or set(properties) - {"Origin"} != {"Path", "Size", "Sha256"}:
        raise RequestError(f"Files[{index}] must have Path, Size and Sha256, got {properties!r}")
    size = str(properties["Size"])
    if not re.fullmatch(r"[0-9]+", size):
        raise RequestError(f"Files[{index}].Size must be a whole number of bytes, got {properties['Size']!r}")
    return SourceFile(
        path=_text(properties, "Path"),
        size=int(size),
        sha256=str(properties["Sha256"]),
        origin=_origin(index, properties["Origin"]) if "Origin" in properties else None,
    )


def _origin(index: int, properties: Any) -> Origin:
    if not isinstance(properties, dict) or set(properties) != {"Repository", "Commit", "Path"}:
        raise RequestError(f"Files[{index}].Origin must have Repository, Commit and Path, got {properties!r}")
    return Origin(
        repository=_text(properties, "Repository"),
        commit=_text(properties, "Commit"),
        path=_text(properties, "Path"),
    )


def _file_properties(file: SourceFile) -> dict[str, Any]:
    properties: dict[str, Any] = {"Path": file.path, "Size": str(file.size), "Sha256": file.sha256}
    if file.origin is not None:
        properties["Origin"] = {
            "Repository": file.origin.repository,
            "Commit": file.origin.commit,
            "Path": file.origin.path,
        }
    return properties


def _check_commit(repository: str, commit: str) -> None:
    if not re.fullmatch(r"(?!\.)[A-Za-z0-9._-]+(/(?!\.)[A-Za-z0-9._-]+)?", repository):
        raise RequestError(f"Repository must be 'owner/name', got {repository!r}")
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise RequestError(f"Commit must be 40 lower-case hex digits, got {commit!r}")


def _check_path(path: str) -> None:
    """Refuse what could leave the model directory, and what a file system or a reader takes another way."""
    segments = path.split("/")
    try:
        longest = max(len(segment.encode()) for segment in segments)
    except UnicodeEncodeError:
        raise RequestError(f"file path {path!r} is no valid Unicode text") from None
    if path.startswith("/"):
        problem = "is absolute"
    elif "" in segments:
        problem = "has an empty segment"
    elif {".", ".."} & set(segments):
        problem = "has a segment '.' or '..'"
    elif "\\" in path:
        problem = "has a backslash"
    elif _CONTROL_CHARACTERS.search(path):
        problem = "has a control character"
    elif longest > MAX_SEGMENT_BYTES:
        problem = f"has a segment of {longest} bytes, the longest allowed is {MAX_SEGMENT_BYTES}"
    else:
        return
    raise RequestError(f"file path {path!r} {problem}")


def check_clashes(paths: Iterable[str]) -> None:
    """RequestError when a path is given twice, or is the directory of another."""
    seen: set[str] = set()
    directories: dict[str, str] = {}
    for path in paths:
        if path in seen:
            raise RequestError(f"file path {path!r} is given twice")
        seen.add(path)
        segments = path.split("/")
        directories.update({"/".join(segments[:depth]): path for depth in range(1, len(segments))})
    if clash := sorted(seen & set(directories)):
        raise RequestError(f"file path {clash[0]!r} is also the directory of {directories[clash[0]]!r}")


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
