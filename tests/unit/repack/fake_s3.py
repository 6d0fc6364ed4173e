"""S3 in memory with the rules that moto leaves out: part sizes, checksums, the object's size."""

from __future__ import annotations

import base64
import io
import zlib
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
    parts: dict[int, bytes] = field(default_factory=dict)


class FakeS3:
    """The calls that the repack makes, with boto3's parameter names; any other parameter is a TypeError."""

    def __init__(self) -> None:
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
        self.calls.append(operation)
        if codes := self.failures.get(operation):
            raise client_error(operation, codes.pop(0))

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self._called("HeadObject")
        if Key not in self.objects:
            raise client_error("HeadObject", "404", "Not Found")
        found = self.objects[Key]
        return {"ContentLength": len(found.body), "Metadata": found.metadata}

    def get_object(self, *, Bucket: str, Key: str, Range: str) -> dict[str, Any]:
        self._called("GetObject")
        assert Range.startswith("bytes=-")
        body = self.objects[Key].body[-int(Range.removeprefix("bytes=-")) :]
        return {"Body": StreamingBody(io.BytesIO(body), len(body))}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str, IfNoneMatch: str) -> None:
        self._called("PutObject")
        self._require_absent("PutObject", Key, IfNoneMatch)
        self.objects[Key] = StoredObject(Body, ContentType)

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
        self.uploads[upload_id] = OpenUpload(Key, ContentType, dict(Metadata))
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
        self._upload("UploadPart", UploadId, Key).parts[PartNumber] = data
        return {"ETag": f'"etag-{PartNumber}"'}

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
            expected = f'"etag-{part["PartNumber"]}"', crc32_text(body)
            if (part["ETag"], part["ChecksumCRC32"]) != expected:
                raise client_error(operation, "InvalidPart")
        if any(len(body) < MIN_PART_BYTES for body in data[:-1]):
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
