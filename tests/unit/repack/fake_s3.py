"""S3 in memory with the rules that moto leaves out: part sizes, checksums, the object's size."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIN_PART_BYTES = 5 * 1024 * 1024


def client_error(operation: str, code: str, message: str = "by the fake") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def crc32_text(data: bytes | memoryview) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@dataclass
class StoredObject:
    body: bytes
    content_type: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class OpenUpload:
    key: str
    content_type: str
    metadata: dict[str, str]
    initiated: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)
    etags: dict[int, str] = field(default_factory=dict)


class FakePaginator:
    """Pages of a listing; the listing is taken whole, at the first page."""

    def __init__(self, listing: Callable[..., tuple[str, list[dict[str, Any]]]], page: int) -> None:
        self._listing = listing
        self._page = page

    def paginate(self, **options: str) -> Iterator[dict[str, Any]]:
        name, found = self._listing(**options)
        for start in range(0, len(found), self._page):
            yield {name: found[start : start + self._page]}
        if not found:
            yield {}


class FakeS3:
    """The calls that the repack makes, with boto3's parameter names; any other parameter is a TypeError."""

    def __init__(
        self,
        *,
        min_part_bytes: int = MIN_PART_BYTES,
        page: int = 1000,
        on_call: Callable[[str], None] = lambda operation: None,
    ) -> None:
        self.min_part_bytes = min_part_bytes
        self.page = page  # of the listings
        self.on_call = on_call  # sees each call before it is done, and may raise
        self.objects: dict[str, StoredObject] = {}
        self.uploads: dict[str, OpenUpload] = {}
        self.calls: list[str] = []
        # Codes that the next calls of an operation fail with, in order.
        self.failures: dict[str, list[str]] = {}

    @property
    def client(self) -> S3Client:
        return cast("S3Client", self)

    def fail_next(self, operation: str, code: str) -> None:
        self.failures.setdefault(operation, []).append(code)

    def _called(self, operation: str) -> None:
        self.on_call(operation)
        self.calls.append(operation)
        if codes := self.failures.get(operation):
            raise client_error(operation, codes.pop(0))

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self._called("HeadObject")
        if Key not in self.objects:
            raise client_error("HeadObject", "404", "Not Found")
        found = self.objects[Key]
        return {"ContentLength": len(found.body), "Metadata": found.metadata}

    def get_object(self, *, Bucket: str, Key: str, Range: str = "bytes=-0") -> dict[str, Any]:
        self._called("GetObject")
        assert Range.startswith("bytes=-")
        if Key not in self.objects:
            raise client_error("GetObject", "NoSuchKey")
        body = self.objects[Key].body[-int(Range.removeprefix("bytes=-")) :]
        return {"Body": StreamingBody(io.BytesIO(body), len(body))}

    def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: bytes,
        ContentType: str,
        Metadata: dict[str, str] | None = None,
        IfNoneMatch: str | None = None,
    ) -> None:
        self._called("PutObject")
        if IfNoneMatch is not None:
            self._require_absent("PutObject", Key, IfNoneMatch)
        self.objects[Key] = StoredObject(Body, ContentType, dict(Metadata or {}))

    def delete_objects(self, *, Bucket: str, Delete: dict[str, Any]) -> None:
        self._called("DeleteObjects")
        assert len(Delete["Objects"]) <= 1000
        for each in Delete["Objects"]:
            self.objects.pop(each["Key"], None)

    def get_paginator(self, operation: str) -> FakePaginator:
        listings: dict[str, Callable[..., tuple[str, list[dict[str, Any]]]]] = {
            "list_parts": self._list_parts,
            "list_objects_v2": self._list_objects,
            "list_multipart_uploads": self._list_uploads,
        }
        return FakePaginator(listings[operation], self.page)

    def _list_objects(self, *, Bucket: str, Prefix: str) -> tuple[str, list[dict[str, Any]]]:
        self._called("ListObjectsV2")
        return "Contents", [{"Key": key} for key in sorted(self.objects) if key.startswith(Prefix)]

    def _list_parts(self, *, Bucket: str, Key: str, UploadId: str) -> tuple[str, list[dict[str, Any]]]:
        self._called("ListParts")
        upload = self._upload("ListParts", UploadId, Key)
        return "Parts", [
            {
                "PartNumber": number,
                "ETag": upload.etags[number],
                "Size": len(body),
                "ChecksumCRC32": crc32_text(body),
            }
            for number, body in sorted(upload.parts.items())
        ]

    def _list_uploads(self, *, Bucket: str, Prefix: str) -> tuple[str, list[dict[str, Any]]]:
        self._called("ListMultipartUploads")
        return "Uploads", [
            {"Key": upload.key, "UploadId": upload_id, "Initiated": upload.initiated}
            for upload_id, upload in self.uploads.items()
            if upload.key.startswith(Prefix)
        ]

    def create_multipart_upload(
        self,
        *,
        Bucket: str,
        Key: str,
        ContentType: str,
        Metadata: dict[str, str],
        ChecksumAlgorithm: str,
        ChecksumType: str,
    ) -> dict[str, Any]:
        self._called("CreateMultipartUpload")
        assert (ChecksumAlgorithm, ChecksumType) == ("CRC32", "FULL_OBJECT")
        upload_id = f"upload-{len(self.calls)}"
        self.uploads[upload_id] = OpenUpload(Key, ContentType, dict(Metadata), len(self.calls))
        return {"UploadId": upload_id}

    def upload_part(
        self,
        *,
        Bucket: str,
        Key: str,
        UploadId: str,
        PartNumber: int,
        Body: io.BytesIO,
        ContentLength: int,
        ChecksumCRC32: str,
    ) -> dict[str, Any]:
        self._called("UploadPart")
        data = Body.read()
        if not 1 <= PartNumber <= 10_000 or len(data) != ContentLength:
            raise client_error("UploadPart", "InvalidArgument")
        if crc32_text(data) != ChecksumCRC32:
            raise client_error("UploadPart", "BadDigest")
        upload = self._upload("UploadPart", UploadId, Key)
        upload.parts[PartNumber] = data
        # Another one for the same bytes, as with a KMS key.
        upload.etags[PartNumber] = f'"etag-{PartNumber}-{len(self.calls)}"'
        return {"ETag": upload.etags[PartNumber]}

    def complete_multipart_upload(
        self,
        *,
        Bucket: str,
        Key: str,
        UploadId: str,
        MultipartUpload: dict[str, Any],
        ChecksumCRC32: str,
        ChecksumType: str,
        MpuObjectSize: int,
        IfNoneMatch: str,
    ) -> None:
        operation = "CompleteMultipartUpload"
        self._called(operation)
        upload = self._upload(operation, UploadId, Key)
        named = MultipartUpload["Parts"]
        if [part["PartNumber"] for part in named] != sorted(upload.parts):
            raise client_error(operation, "InvalidPart")
        data = [upload.parts[part["PartNumber"]] for part in named]
        for part, body in zip(named, data, strict=True):
            expected = upload.etags[part["PartNumber"]], crc32_text(body)
            if (part["ETag"], part["ChecksumCRC32"]) != expected:
                raise client_error(operation, "InvalidPart")
        if any(len(body) < self.min_part_bytes for body in data[:-1]):
            raise client_error(operation, "EntityTooSmall")
        whole = b"".join(data)
        if ChecksumType != "FULL_OBJECT" or crc32_text(whole) != ChecksumCRC32:
            raise client_error(operation, "BadDigest")
        if len(whole) != MpuObjectSize:
            raise client_error(operation, "InvalidRequest")
        self._require_absent(operation, Key, IfNoneMatch)
        self.objects[Key] = StoredObject(whole, upload.content_type, upload.metadata)
        del self.uploads[UploadId]

    def abort_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str) -> None:
        self._called("AbortMultipartUpload")
        self._upload("AbortMultipartUpload", UploadId, Key)
        del self.uploads[UploadId]

    def _upload(self, operation: str, upload_id: str, key: str) -> OpenUpload:
        upload = self.uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise client_error(operation, "NoSuchUpload")
        return upload

    def _require_absent(self, operation: str, key: str, if_none_match: str) -> None:
        assert if_none_match == "*"
        if key in self.objects:
            raise client_error(operation, "PreconditionFailed")
