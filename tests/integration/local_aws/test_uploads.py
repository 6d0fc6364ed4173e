"""Multipart uploads that are over."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.local_aws.account import CODE_BUCKET, Account

Json = Any
PART = {"PartNumber": 1, "Body": b"late"}


def upload_id(account: Account) -> str:
    begun = account.client("s3").create_multipart_upload(Bucket=CODE_BUCKET, Key="model")
    return str(begun["UploadId"])


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("upload_part", PART),
        ("complete_multipart_upload", {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": "a"}]}}),
        ("list_parts", {}),
        ("abort_multipart_upload", {}),
    ],
)
def test_an_upload_that_was_aborted_is_none(account: Account, operation: str, more: dict[str, Json]) -> None:
    s3 = account.client("s3")
    upload = {"Bucket": CODE_BUCKET, "Key": "model", "UploadId": upload_id(account)}
    s3.upload_part(**upload, **PART)
    s3.abort_multipart_upload(**upload)
    with pytest.raises(ClientError) as refusal:
        getattr(s3, operation)(**upload, **more)
    error = refusal.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("NoSuchUpload", 404)
