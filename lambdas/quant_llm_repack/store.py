"""The S3 edge: one multipart upload per object, published by a conditional write or not at all."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import reduce
from types import TracebackType
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from quant_llm_lambda.log import log
from quant_llm_repack.crc32 import crc32_combine
from quant_llm_repack.errors import StoreError, StoreUnavailableError, UploadGoneError
from quant_llm_repack.render import RenderedPart

if TYPE_CHECKING:  # not in the function's runtime
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

# S3's answers to a conditional write whose key is taken, is being taken, or whose earlier try got through.
_KEY_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchUpload"}

# What may pass, after boto3's own retries; BadDigest: a byte changed on the way.
_PASSING = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "BadDigest", "500", "503")
_KINDS: dict[str, type[StoreError]] = {
    **dict.fromkeys(_PASSING, StoreUnavailableError),
    "NoSuchUpload": UploadGoneError,
}
_MAX_KEYS = 1000  # of one DeleteObjects
_ABSENT = {"404", "NoSuchKey", "NotFound"}


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """What completing an upload needs to know of a part; the CRC-32 is of the part's `length` bytes."""

    number: int
    etag: str
    crc32: int
    length: int


@dataclass(frozen=True, slots=True)
class ListedPart:
    """A part as S3 lists it; the checksum is base64, and missing in some stand-ins for S3."""

    etag: str
    length: int
    checksum: str | None

    def is_of(self, *, length: int, crc32: int) -> bool:
        """Whether it is the part of that length and CRC-32, as far as S3 tells."""
        return self.length == length and self.checksum in (None, _base64(crc32))


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """The bucket of the artifacts. StoreError for whatever S3 refuses."""

    client: S3Client
    bucket: str

    def holds(self, key: str, *, length: int, metadata: Mapping[str, str]) -> bool:
        """Whether the object is there; StoreError when one of another length or metadata has its key."""
        url = self.url(key)
        with _explained(f"can't read {url}"):
            try:
                head = self.client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return False
                raise
        got = {name: head["Metadata"].get(name) for name in metadata}
        if (head["ContentLength"], got) != (length, metadata):
            raise StoreError(
                f"{url} holds something else, and artifacts are never overwritten: "
                f"got {head['ContentLength']} bytes with {got}, expected {length} with {dict(metadata)}"
            )
        return True

    def read_end(self, key: str, length: int) -> bytes:
        """The last `length` bytes of an object."""
        with _explained(f"can't read {self.url(key)}"):
            answer = self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes=-{length}")
            return answer["Body"].read()

    def put_if_absent(
        self, key: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write a small object, unless its key is taken."""
        with _explained(f"can't write {self.url(key)}"):
            try:
                self.client.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=body,
                    ContentType=content_type,
                    Metadata=metadata or {},
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if _code(error) not in _KEY_TAKEN:
                    raise

    def read(self, key: str) -> bytes | None:
        """A small object's bytes; None when it is not there."""
        with _explained(f"can't read {self.url(key)}"):
            try:
                return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise

    def write(self, key: str, body: bytes) -> None:
        """Write a small JSON object, over one that is there."""
        with _explained(f"can't write {self.url(key)}"):
            self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/json")

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with `prefix`."""
        with _explained(f"can't list {self.url(prefix)}*"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def remove(self, keys: Sequence[str]) -> None:
        """Remove these objects, those too that are gone already."""
        with _explained(f"can't remove {len(keys)} objects of s3://{self.bucket}"):
            for start in range(0, len(keys), _MAX_KEYS):
                objects: list[ObjectIdentifierTypeDef] = [
                    {"Key": key} for key in keys[start : start + _MAX_KEYS]
                ]
                self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})

    def uploads(self, prefix: str) -> dict[str, list[str]]:
        """The ids of the uploads under way of every key that begins with `prefix`, the oldest first."""
        with _explained(f"can't list the uploads of {self.url(prefix)}*"):
            pages = self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=prefix
            )
            found = [each for page in pages for each in page.get("Uploads", [])]
        by_key: dict[str, list[str]] = {}
        for each in sorted(found, key=lambda each: (each["Initiated"], each["UploadId"])):
            by_key.setdefault(each["Key"], []).append(each["UploadId"])
        return by_key

    def abort(self, key: str, upload_id: str) -> None:
        """End an upload, which may be over already; StoreError when it may still be there."""
        with suppress(UploadGoneError), _explained(f"can't end an upload of {self.url(key)}"):
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)

    def resumed(self, key: str, upload_id: str, *, length: int, metadata: Mapping[str, str]) -> Upload:
        """An upload that was begun elsewhere."""
        return Upload(self, key, upload_id, length=length, metadata=metadata)

    def upload(self, key: str, *, length: int, metadata: Mapping[str, str], content_type: str) -> Upload:
        """Begin the upload of an object of `length` bytes."""
        with _explained(f"can't write {self.url(key)}"):
            answer = self.client.create_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                ContentType=content_type,
                Metadata=metadata,
                ChecksumAlgorithm="CRC32",
                ChecksumType="FULL_OBJECT",
            )
        return Upload(self, key, answer["UploadId"], length=length, metadata=metadata)

    def url(self, key: str) -> str:
        """`s3://bucket/key`."""
        return f"s3://{self.bucket}/{key}"


class Upload:
    """A multipart upload under way. As a context manager it aborts itself unless it was completed."""

    def __init__(
        self, store: ArtifactStore, key: str, upload_id: str, *, length: int, metadata: Mapping[str, str]
    ) -> None:
        """Upload `upload_id` of an object of `length` bytes."""
        self._store = store
        self._key = key
        self._id = upload_id
        self._length = length
        self._metadata = metadata
        self._is_over = False

    @property
    def id(self) -> str:
        """The id that S3 gave it."""
        return self._id

    def listed(self) -> dict[int, ListedPart]:
        """The parts that S3 has, by number; UploadGoneError when it knows no such upload."""
        with _explained(f"can't list the parts of {self._url}"):
            pages = self._store.client.get_paginator("list_parts").paginate(
                Bucket=self._store.bucket, Key=self._key, UploadId=self._id
            )
            return {
                part["PartNumber"]: ListedPart(part["ETag"], part["Size"], part.get("ChecksumCRC32"))
                for page in pages
                for part in page.get("Parts", [])
            }

    def put(self, part: RenderedPart) -> UploadedPart:
        """Send a part, with the CRC-32 that S3 checks it against."""
        with _explained(f"can't write {self._url}"):
            answer = self._store.client.upload_part(
                Bucket=self._store.bucket,
                Key=self._key,
                UploadId=self._id,
                PartNumber=part.number,
                Body=part.body,
                ContentLength=part.length,
                ChecksumCRC32=_base64(part.crc32),
            )
        return UploadedPart(part.number, answer["ETag"], part.crc32, part.length)

    def complete(self, parts: Sequence[UploadedPart]) -> None:
        """Publish the object, checked by S3 against its length and its CRC-32 combined from the parts'.

        An equal object that somebody else published meanwhile is as good; StoreError for any other.
        """
        crc32 = reduce(lambda crc, part: crc32_combine(crc, part.crc32, part.length), parts, 0)
        with _explained(f"can't write {self._url}"):
            try:
                self._store.client.complete_multipart_upload(
                    Bucket=self._store.bucket,
                    Key=self._key,
                    UploadId=self._id,
                    MultipartUpload={
                        "Parts": [
                            {
                                "PartNumber": part.number,
                                "ETag": part.etag,
                                "ChecksumCRC32": _base64(part.crc32),
                            }
                            for part in parts
                        ]
                    },
                    ChecksumCRC32=_base64(crc32),
                    ChecksumType="FULL_OBJECT",
                    MpuObjectSize=self._length,
                    IfNoneMatch="*",
                )
                self._is_over = True
                return
            except ClientError as error:
                if _code(error) not in _KEY_TAKEN:
                    raise
        if not self._store.holds(self._key, length=self._length, metadata=self._metadata):
            raise StoreUnavailableError(
                f"{self._url} is being written by another deploy; deploy again when that one is done"
            )

    def abort(self) -> None:
        """Remove the parts sent so far; a failure is only logged, for the bucket's lifecycle rule helps."""
        if self._is_over:
            return
        self._is_over = True
        try:
            self._store.client.abort_multipart_upload(
                Bucket=self._store.bucket, Key=self._key, UploadId=self._id
            )
        except (ClientError, BotoCoreError) as error:
            log("repack.abort_failed", key=self._key, upload_id=self._id, problem=str(error))

    def __enter__(self) -> Upload:
        """The upload itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Abort, unless it was completed."""
        self.abort()

    @property
    def _url(self) -> str:
        return self._store.url(self._key)


def _base64(crc32: int) -> str:
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn boto3's errors into one sentence that begins with `what`."""
    try:
        yield
    except ClientError as error:
        message = error.response["Error"].get("Message", "")
        kind = _KINDS.get(_code(error), StoreError)
        raise kind(f"{what}: S3 answered {_code(error)} to {error.operation_name}: {message}") from error
    except BotoCoreError as error:  # no answer, mostly
        raise StoreUnavailableError(f"{what}: {error}") from error
