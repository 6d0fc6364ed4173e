"""What boto3 and urllib3 make of a part: nothing is hashed again, and few pieces are sent."""

from __future__ import annotations

import io
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from urllib3.response import HTTPResponse
from urllib3.util.request import body_to_chunks

from quant_llm_repack.edges import Edges
from quant_llm_repack.render import PartBody, RenderedPart
from quant_llm_repack.store import ArtifactStore, Upload

MIB = 1 << 20


def test_a_part_is_sent_without_a_sha256_for_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else botocore computes it wherever a CRC-32 is given: half a second of processor time for each GB."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    sent: list[Any] = []

    def answer(request: Any, **_: Any) -> Any:
        headers: Any = {"ETag": '"etag"'}
        sent.append(request)
        return AWSResponse(request.url, 200, headers, HTTPResponse(io.BytesIO(), preload_content=False))

    s3 = Edges().s3()
    s3.meta.events.register("before-send.s3.UploadPart", answer)
    upload = Upload(ArtifactStore(s3, "models"), "key", "upload", length=3, metadata={})
    upload.put(RenderedPart(1, PartBody(b"abc"), 3, crc32=0x352441C2, tar_crc32=0))
    (request,) = sent
    assert request.url.startswith("https://")
    headers = {name.lower(): value for name, value in request.headers.items()}  # bytes, most of them
    assert headers["x-amz-content-sha256"] == b"UNSIGNED-PAYLOAD"
    assert headers["x-amz-checksum-crc32"] == b"NSRBwg=="
    assert int(headers["content-length"]) == 3
    assert b"x-amz-checksum-crc32" in headers["authorization"]  # the signature's list of headers
    assert "content-encoding" not in headers


def test_urllib3_sends_a_part_by_the_mib() -> None:
    content = bytes(range(256)) * 10_000
    chunks = list(body_to_chunks(PartBody(content), "PUT", 16_384).chunks or [])
    assert [len(chunk) for chunk in chunks] == [MIB, MIB, len(content) - 2 * MIB]
    assert b"".join(chunks) == content


def test_a_part_is_read_whole_and_in_larger_pieces_as_asked() -> None:
    content = bytes(3 * MIB)
    assert PartBody(content).read() == content
    assert PartBody(content).read(None) == content
    assert len(PartBody(content).read(2 * MIB)) == 2 * MIB
