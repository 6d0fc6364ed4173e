"""The queue of an asynchronous endpoint: requests that lie in S3, answered there, told to SNS."""

from __future__ import annotations

import http.client
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from quant_llm_tools.local_aws.hosting_errors import AccessRefused
from quant_llm_tools.local_aws.hosting_settings import HostingSettings
from quant_llm_tools.local_aws.hosting_variant import HostedVariant
from quant_llm_tools.local_aws.runtime_upstream import Upstream

Json = Any
_log = logging.getLogger(__name__)

# SageMaker's, where InvokeEndpointAsync says nothing.
_LIFE_SECONDS = 21_600
_TIMEOUT_SECONDS = 900
_MOST_AT_A_TIME = 4


@dataclass(frozen=True, kw_only=True)
class AsyncRequest:
    """What InvokeEndpointAsync was asked: `headers` are for the container, locations are S3 URIs."""

    inference_id: str
    headers: Mapping[str, str]
    input_location: str
    output_location: str
    failure_location: str
    life_seconds: float = _LIFE_SECONDS
    timeout_seconds: float = _TIMEOUT_SECONDS
    received: float = field(default_factory=time.time)


class AsyncQueue:
    """Answers requests with as many at a time as the configuration says, by a variant that `choose` gives.

    Requests are read, and answers written and told of, in the name of the role whose ARN is `role`.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        region: str,
        configuration: Mapping[str, Json],
        settings: HostingSettings,
        role: str,
        choose: Callable[[], HostedVariant | None],
    ) -> None:
        self._endpoint = endpoint
        self._region = region
        self.configuration = configuration
        self._output: Mapping[str, Json] = configuration["OutputConfig"]
        self._settings = settings
        self._role = role
        self._choose = choose
        limit = configuration.get("ClientConfig", {}).get("MaxConcurrentInvocationsPerInstance")
        self._workers = ThreadPoolExecutor(limit or _MOST_AT_A_TIME, f"requests of {endpoint}")

    def request(self, headers: Mapping[str, str], input_location: str, **limits: float) -> AsyncRequest:
        """A request with the places where its answer or its failure will be."""
        name = str(uuid.uuid4())
        output = self._output["S3OutputPath"].rstrip("/")
        failure = self._output.get("S3FailurePath", output).rstrip("/")
        return AsyncRequest(
            inference_id=headers.get("X-Amzn-SageMaker-Inference-Id", name),
            headers=headers,
            input_location=input_location,
            output_location=f"{output}/{name}.out",
            failure_location=f"{failure}/{name}-error.out",
            **limits,
        )

    def put(self, request: AsyncRequest) -> None:
        """Queue a request."""
        self._workers.submit(self._process, request)

    def stop(self) -> None:
        """Leave what waits."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _process(self, request: AsyncRequest) -> None:
        try:
            status, content_type, body = self._answer(request)
        except (ClientError, AccessRefused, OSError, http.client.HTTPException) as error:
            status, content_type, body = 0, "text/plain", str(error).encode()
        try:
            self._tell(request, status, content_type, body)
        except (ClientError, AccessRefused):
            _log.exception("request %s of endpoint %s", request.inference_id, self._endpoint)

    def _answer(self, request: AsyncRequest) -> tuple[int, str, bytes]:
        if time.time() - request.received > request.life_seconds:
            raise OSError("The request expired before it could be processed.")
        bucket, _, key = request.input_location.removeprefix("s3://").partition("/")
        body = self._client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        variant = self._choose()
        if variant is None:
            raise OSError("The endpoint has no container in service.")
        upstream = Upstream(
            variant.port,
            method="POST",
            path="/invocations",
            headers=request.headers,
            body=body,
            timeout=request.timeout_seconds,
        )
        try:
            kind = upstream.headers.get("Content-Type", "application/octet-stream")
            return upstream.status, kind, upstream.read()
        finally:
            upstream.close()

    def _client(self, service: str) -> Any:
        return self._settings.client(service, self._region, self._role)

    def _tell(self, request: AsyncRequest, status: int, content_type: str, body: bytes) -> None:
        well = status // 100 == 2
        location = request.output_location if well else request.failure_location
        bucket, _, key = location.removeprefix("s3://").partition("/")
        encryption: dict[str, Json] = {}
        if "KmsKeyId" in self._output:
            encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._output["KmsKeyId"]}
        self._client("s3").put_object(
            Bucket=bucket, Key=key, Body=body, ContentType=content_type, **encryption
        )
        topics = self._output.get("NotificationConfig", {})
        topic = topics.get("SuccessTopic" if well else "ErrorTopic")
        if topic is None:
            return
        if well:
            ending: dict[str, Json] = {"invocationStatus": "Completed"}
        else:
            text = body.decode(errors="replace")[:500]
            ending = {
                "invocationStatus": "Failed",
                "failureReason": f'Received error ({status}) with message "{text}"',
            }
        message = {
            "awsRegion": self._region,
            "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "receivedTime": datetime.fromtimestamp(request.received, UTC).isoformat(timespec="milliseconds"),
            **ending,
            "requestParameters": {"endpointName": self._endpoint, "inputLocation": request.input_location},
            "responseParameters": {
                "contentType": content_type,
                "outputLocation" if well else "failureLocation": location,
            },
            "inferenceId": request.inference_id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }
        self._client("sns").publish(TopicArn=topic, Message=json.dumps(message))
