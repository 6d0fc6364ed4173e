"""Data capture: a share of an endpoint's requests with their answers, as JSON lines in S3.

The form of a line and of its key is that of the developer guide, "Capture data from real-time endpoint". Here
each request has a file of its own, where SageMaker gathers several.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from quant_llm_tools.local_aws.hosting_errors import AccessRefused
from quant_llm_tools.local_aws.hosting_settings import HostingSettings

Json = Any
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Capture:
    """What a configuration's DataCaptureConfig asks for; `role` is the ARN of the role that writes it."""

    endpoint: str
    region: str
    configuration: Mapping[str, Json]
    settings: HostingSettings
    role: str

    @property
    def summary(self) -> dict[str, Json]:
        """What DescribeEndpoint says of it."""
        enabled = self.configuration.get("EnableCapture", True)
        described = {
            "EnableCapture": enabled,
            "CaptureStatus": "Started" if enabled else "Stopped",
            "CurrentSamplingPercentage": self.configuration["InitialSamplingPercentage"],
            "DestinationS3Uri": self.configuration["DestinationS3Uri"],
        }
        key = self.configuration.get("KmsKeyId")
        return described if key is None else {**described, "KmsKeyId": key}

    def keep(self, variant: str, request: tuple[str, bytes], answer: tuple[str, bytes]) -> None:
        """Keep a request and its answer, each a content type and a body, if it is one of the share.

        What goes wrong with that is none of the caller's business.
        """
        share = self.configuration["InitialSamplingPercentage"] / 100
        if not self.configuration.get("EnableCapture", True) or random.random() >= share:  # noqa: S311 - a sample
            return
        modes = {option["CaptureMode"] for option in self.configuration["CaptureOptions"]}
        data = {}
        for mode, name, (content_type, body) in (
            ("Input", "endpointInput", request),
            ("Output", "endpointOutput", answer),
        ):
            if modes & {mode, "InputAndOutput"}:
                data[name] = {"mode": mode.upper(), **self._encoded(content_type, body)}
        now, event_id = datetime.now(UTC), str(uuid.uuid4())
        line = {
            "captureData": data,
            "eventMetadata": {"eventId": event_id, "inferenceTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"},
            "eventVersion": "0",
        }
        bucket, _, prefix = self.configuration["DestinationS3Uri"].removeprefix("s3://").partition("/")
        key = (
            f"{self.endpoint}/{variant}/{now:%Y/%m/%d/%H/%M-%S-}{now.microsecond // 1000:03}-{event_id}.jsonl"
        )
        encryption: dict[str, Json] = {}
        if "KmsKeyId" in self.configuration:
            encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.configuration["KmsKeyId"]}
        try:
            self.settings.client("s3", self.region, self.role).put_object(
                Bucket=bucket,
                Key=f"{prefix.rstrip('/')}/{key}".lstrip("/"),
                Body=json.dumps(line).encode() + b"\n",
                **encryption,
            )
        except (ClientError, AccessRefused):
            _log.exception("data capture of endpoint %s", self.endpoint)

    def _encoded(self, content_type: str, body: bytes) -> dict[str, str]:
        header = self.configuration.get("CaptureContentTypeHeader", {})
        kind = content_type.partition(";")[0].strip()
        for encoding, name in (("JSON", "JsonContentTypes"), ("CSV", "CsvContentTypes")):
            if kind in header.get(name, ()):
                text, used = body.decode(errors="replace"), encoding
                break
        else:
            text, used = base64.b64encode(body).decode(), "BASE64"
        return {"observedContentType": content_type, "data": text, "encoding": used}
