"""The repack's benchmark on little data: every part of it runs, and its S3 is not fooled."""

from __future__ import annotations

import base64
import io
import json
import threading
import zlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.discarding_s3 import UNCHECKED_BUCKET, DiscardingS3
from benchmarks.repack_comparison import BARE_COPY, OURS, PLAIN_COPY, TARFILE, Scale, benchmark
from benchmarks.repack_ways import CHECKED_BUCKET
from benchmarks.worker_processes import WorkerFailedError, WorkerProcesses

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MB = 1_000_000
PART = bytes(range(256)) * 24_000  # over S3's 5 MiB


def test_the_benchmark_runs_and_says_what_has_goals(capsys: pytest.CaptureFixture[str]) -> None:
    scale = Scale(
        size=70 * MB,  # more than a part
        size_over_disk=MB,
        size_extracted=MB,
        runs=1,
        runs_with_more_workers=1,
        runs_over_disk=1,
        rss_sizes=(2 * MB,),
        is_quick=True,
    )
    result = json.loads(json.dumps(benchmark(scale, (OURS, PLAIN_COPY, BARE_COPY, TARFILE))))
    for name in ("ratio_to_plain_copy", "ratio_over_tarfile_gz", "peak_rss_mib", "extraction_ratio_to_tar"):
        assert result[name] > 0
    assert [row["way"] for row in result["generated"]] == [
        "ours, 1 worker",
        "plain copy, 1 worker",
        "bare copy, 1 worker",
        "tarfile w:gz",
    ]
    printed = capsys.readouterr().out
    assert "ours / plain copy, one worker each:  " in printed
    assert printed.count("not measured") <= 3  # pigz, bsdtar and busybox may not be there


@pytest.fixture
def s3() -> Iterator[S3Client]:
    server = DiscardingS3()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    client = boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(
            s3={"payload_signing_enabled": False, "addressing_style": "path"},
            retries={"total_max_attempts": 1},
        ),
    )
    yield client
    client.close()
    server.shutdown()
    thread.join()
    server.server_close()


def crc32_text(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def upload(s3: S3Client, bucket: str, *, crc32: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    tags = [
        s3.upload_part(
            Bucket=bucket,
            Key="key",
            UploadId=upload_id,
            PartNumber=number,
            Body=io.BytesIO(PART),
            ChecksumCRC32=crc32,
        )["ETag"]
        for number in (1, 2)
    ]
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="key",
        UploadId=upload_id,
        MultipartUpload={"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]},
        MpuObjectSize=2 * len(PART),
        ChecksumCRC32=crc32_text(2 * PART),
        ChecksumType="FULL_OBJECT",
    )


@pytest.mark.parametrize("bucket", [CHECKED_BUCKET, UNCHECKED_BUCKET])
def test_s3_counts_every_byte_and_keeps_the_last(s3: S3Client, bucket: str) -> None:
    upload(s3, bucket, crc32=crc32_text(PART))
    assert s3.head_object(Bucket=bucket, Key="key")["ContentLength"] == 2 * len(PART)
    end = s3.get_object(Bucket=bucket, Key="key", Range="bytes=-8")["Body"].read()
    assert end == PART[-8:]


def test_s3_finds_a_wrong_body_where_it_checks(s3: S3Client) -> None:
    with pytest.raises(ClientError, match="BadDigest"):
        upload(s3, CHECKED_BUCKET, crc32=crc32_text(b"other"))


def test_a_worker_tells_what_went_wrong_and_goes_on() -> None:
    with WorkerProcesses(1, partial(int, "1")) as workers:
        with pytest.raises(WorkerFailedError, match="invalid literal"):
            workers.call(int, "one")
        assert workers.call(int, "12") == 12
        (spent,) = workers.spent()
    assert 5 < spent.peak_rss_mib < 500
    assert 0 <= spent.cpu_seconds < 5
