"""A loopback S3 that checks what it is sent and forgets it, so that it is not what a benchmark measures.

It knows the calls that the repack makes: multipart upload with its listings and abort, PutObject, HEAD,
lists and deletion of objects, and GET of what it has kept. Each body's length and CRC-32 are checked, at
completion the object's too, as S3 does. Of an object over 1 MiB only the last bytes are kept, where the
archive has its trailer.

Of bodies over 1 MiB to the bucket `unchecked` only the length is checked: on loopback, the check would take
the processors of what is measured, and S3 has its own.
"""

from __future__ import annotations

import base64
import io
import itertools
import re
import socket
import threading
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import cast
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks.pacing import Pace
from quant_llm_repack.crc32 import crc32_combine

LOOPBACK = "127.0.0.1"
KEPT_WHOLE_BYTES = 1 << 20
KEPT_END_BYTES = 64
MIN_PART_BYTES = 5 << 20
CHUNK_BYTES = 1 << 20
METADATA = "x-amz-meta-"
UNCHECKED_BUCKET = "unchecked"


class Refusal(Exception):
    """An S3 error: its HTTP status and code."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Received:
    """What is left of a body: its length, CRC-32, and its bytes or only the last of them."""

    length: int
    crc32: int
    kept: bytes

    @property
    def etag(self) -> str:
        """Depends on the bytes, as S3's does."""
        return f'"{self.crc32:032x}"'


@dataclass(frozen=True)
class StoredObject:
    """An object that can be seen."""

    received: Received
    metadata: dict[str, str]


@dataclass
class Upload:
    """A multipart upload under way."""

    path: str
    metadata: dict[str, str]
    parts: dict[int, Received] = field(default_factory=dict)
    initiated: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def complete(self, numbers: list[int], crc32: int | None, length: int | None) -> Received:
        """The object of the parts named; Refusal when they are not what the request says."""
        if numbers != sorted(numbers) or not set(numbers) <= set(self.parts):
            raise Refusal(400, "InvalidPart")
        parts = [self.parts[number] for number in numbers]
        if any(part.length < MIN_PART_BYTES for part in parts[:-1]):
            raise Refusal(400, "EntityTooSmall")
        whole = Received(
            length=sum(part.length for part in parts),
            crc32=reduce(lambda crc, part: crc32_combine(crc, part.crc32, part.length), parts, 0),
            kept=b"".join(part.kept for part in parts[-2:]),
        )
        if length not in (None, whole.length):
            raise Refusal(400, "InvalidRequest", f"the object has {whole.length} bytes, not {length}")
        if crc32 not in (None, whole.crc32):
            raise Refusal(400, "BadDigest", "the object's CRC-32 is another")
        return whole


class DiscardingS3(ThreadingHTTPServer):
    """Serves any bucket at `url`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, bytes_per_second: float | None = None) -> None:
        self.bytes_per_second = bytes_per_second  # that each body is taken at, at most
        self.objects: dict[str, StoredObject] = {}
        self.uploads: dict[str, Upload] = {}
        self.upload_ids = map(str, itertools.count(1))
        self.lock = threading.Lock()
        super().__init__((LOOPBACK, 0), _Handler)

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """The keys of the objects in the bucket at a path."""
        paths = (path.removeprefix(f"{bucket}/") for path in self.objects)
        return sorted(path for path in paths if path.startswith(prefix))

    def server_bind(self) -> None:
        """As HTTPServer, without asking the resolver for the name of the host."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.socket.getsockname()[1]

    @property
    def url(self) -> str:
        """The endpoint for boto3."""
        return f"http://{LOOPBACK}:{self.server_port}"


def _base64(crc32: int) -> str:
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _s3(self) -> DiscardingS3:
        return cast(DiscardingS3, self.server)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """Any request."""
        address = urlsplit(self.path)
        path = unquote(address.path)
        query = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        try:
            received = self._receive(path)
            with self._s3.lock:
                self._answer(path, query, received)
        except Refusal as refusal:
            body = f"<Error><Code>{refusal.code}</Code><Message>{refusal}</Message></Error>"
            self._send(refusal.status, body.encode())

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def _answer(self, path: str, query: dict[str, str], received: Received) -> None:
        match self.command, query:
            case "POST", {"uploads": _}:
                upload_id = next(self._s3.upload_ids)
                self._s3.uploads[upload_id] = Upload(path, self._metadata())
                self._send_xml("InitiateMultipartUploadResult", f"<UploadId>{upload_id}</UploadId>")
            case "PUT", {"partNumber": number, "uploadId": upload_id}:
                self._upload(upload_id).parts[int(number)] = received
                self._send(200, headers=self._checks(received))
            case "POST", {"uploadId": upload_id}:
                upload = self._upload(upload_id)
                self._require_free(path)
                numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)<", received.kept)]
                length = self.headers.get("x-amz-mp-object-size")
                whole = upload.complete(numbers, self._crc32(), None if length is None else int(length))
                self._s3.objects[path] = StoredObject(whole, upload.metadata)
                del self._s3.uploads[upload_id]
                self._send_xml("CompleteMultipartUploadResult", f"<ETag>{whole.etag}</ETag>")
            case "GET", {"uploads": _}:
                self._send_uploads(f"{path}/{query.get('prefix', '')}")
            case "GET", {"list-type": _}:
                keys = self._s3.keys(path, query.get("prefix", ""))
                contents = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
                self._send_xml("ListBucketResult", f"<IsTruncated>false</IsTruncated>{contents}")
            case "POST", {"delete": _}:
                for key in re.findall(rb"<Key>([^<]+)<", received.kept):
                    self._s3.objects.pop(f"{path}/{key.decode()}", None)
                self._send_xml("DeleteResult", "")
            case "GET", {"uploadId": upload_id}:
                self._send_parts(self._upload(upload_id))
            case "DELETE", {"uploadId": upload_id}:
                self._upload(upload_id)
                del self._s3.uploads[upload_id]
                self._send(204)
            case "PUT", _:
                self._require_free(path)
                self._s3.objects[path] = StoredObject(received, self._metadata())
                self._send(200, headers=self._checks(received))
            case "DELETE", _:
                self._s3.objects.pop(path, None)
                self._send(204)
            case (("GET" | "HEAD"), _):
                self._send_object(path)
            case _:
                raise Refusal(501, "NotImplemented")

    def _receive(self, path: str) -> Received:
        """Read the body and check it against its Content-Length and, where one is given, its CRC-32."""
        if "Transfer-Encoding" in self.headers or "aws-chunked" in self.headers.get("Content-Encoding", ""):
            raise Refusal(501, "NotImplemented", "chunked bodies")
        length = missing = int(self.headers.get("Content-Length", "0"))
        buffer = memoryview(bytearray(min(length, CHUNK_BYTES)))
        crc32, end = 0, b""
        keeps_all = self.command == "POST" or length <= KEPT_WHOLE_BYTES
        pace = Pace(self._s3.bytes_per_second)
        if not keeps_all and path.startswith(f"/{UNCHECKED_BUCKET}/"):
            self._discard(length - KEPT_END_BYTES, buffer, pace)
            return Received(length, self._crc32() or 0, self.rfile.read(KEPT_END_BYTES))
        while missing:
            count = self.rfile.readinto(buffer[:missing])
            if not count:
                raise Refusal(400, "IncompleteBody")
            crc32 = zlib.crc32(buffer[:count], crc32)
            missing -= count
            pace.moved(count)
            if keeps_all or missing < KEPT_END_BYTES:
                end += bytes(buffer[:count])
        kept = end if keeps_all else end[-KEPT_END_BYTES:]
        if self.command == "PUT" and self._crc32() not in (None, crc32):
            raise Refusal(400, "BadDigest")
        return Received(length, crc32, kept)

    def _discard(self, missing: int, buffer: memoryview, pace: Pace) -> None:
        """Have the kernel drop so many bytes, which it then copies nowhere (MSG_TRUNC in tcp(7))."""
        missing -= len(self.rfile.read1(io.DEFAULT_BUFFER_SIZE))  # what came with the head of the request
        while missing:
            count = self.connection.recv_into(buffer, min(len(buffer), missing), socket.MSG_TRUNC)
            if not count:
                raise Refusal(400, "IncompleteBody")
            missing -= count
            pace.moved(count)

    def _crc32(self) -> int | None:
        text = self.headers.get("x-amz-checksum-crc32")
        return None if text is None else int.from_bytes(base64.b64decode(text), "big")

    def _metadata(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower().startswith(METADATA)}

    def _upload(self, upload_id: str) -> Upload:
        if upload_id not in self._s3.uploads:
            raise Refusal(404, "NoSuchUpload")
        return self._s3.uploads[upload_id]

    def _require_free(self, path: str) -> None:
        if self.headers.get("If-None-Match") == "*" and path in self._s3.objects:
            raise Refusal(412, "PreconditionFailed")

    def _checks(self, received: Received) -> dict[str, str]:
        return {"ETag": received.etag, "x-amz-checksum-crc32": _base64(received.crc32)}

    def _send_uploads(self, prefix: str) -> None:
        bucket = f"/{prefix.split('/')[1]}/"
        found = "".join(
            f"<Upload><Key>{upload.path.removeprefix(bucket)}</Key><UploadId>{upload_id}</UploadId>"
            f"<Initiated>{upload.initiated}</Initiated></Upload>"
            for upload_id, upload in self._s3.uploads.items()
            if upload.path.startswith(prefix)
        )
        self._send_xml("ListMultipartUploadsResult", f"<IsTruncated>false</IsTruncated>{found}")

    def _send_parts(self, upload: Upload) -> None:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{part.etag}</ETag><Size>{part.length}</Size>"
            f"<ChecksumCRC32>{_base64(part.crc32)}</ChecksumCRC32></Part>"
            for number, part in sorted(upload.parts.items())
        )
        self._send_xml("ListPartsResult", f"<IsTruncated>false</IsTruncated>{parts}")

    def _send_object(self, path: str) -> None:
        stored = self._s3.objects.get(path)
        if stored is None:
            raise Refusal(404, "NoSuchKey")
        length, kept = stored.received.length, stored.received.kept
        headers = {**stored.metadata, "ETag": stored.received.etag}
        if self.command == "HEAD":
            self._send(200, headers={**headers, "Content-Length": str(length)})
            return
        span = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "bytes=0-"))
        if span is None:
            raise Refusal(416, "InvalidRange")
        first = int(span[1]) if span[1] else length - int(span[2])
        last = int(span[2]) if span[1] and span[2] else length - 1
        begin = first - (length - len(kept))
        if begin < 0:
            raise Refusal(501, "NotImplemented", "these bytes were discarded")
        headers["Content-Range"] = f"bytes {first}-{last}/{length}"
        self._send(206 if "Range" in self.headers else 200, kept[begin : begin + last + 1 - first], headers)

    def _send_xml(self, name: str, content: str) -> None:
        self._send(200, f"<{name}>{content}</{name}>".encode())

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
