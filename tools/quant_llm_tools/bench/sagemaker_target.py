"""A SageMaker endpoint, by boto3's response stream: what an application that uses it sees.

boto3 waits in threads, one a request. What so many threads can do at most is measured, see `generator`.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EventStreamError,
    ReadTimeoutError,
)

from quant_llm_tools.bench.asking import Answer, AnswerReader, Clock, kind_of_status

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime import SageMakerRuntimeClient

THREADS = 256
"""So many requests can be under way; more wait, and their clock runs."""

_ROUTES = {"completions": "route=/v1/completions", "chat": "route=/v1/chat/completions"}


def runtime_client(region: str, *, timeout_s: float) -> SageMakerRuntimeClient:
    """A client that tries once: a retry would hide an error, and count its time as the endpoint's."""
    client: SageMakerRuntimeClient = boto3.client(
        "sagemaker-runtime", region_name=region, config=_config(timeout_s)
    )
    return client


def null_client(url: str, *, timeout_s: float) -> SageMakerRuntimeClient:
    """The same for a server on this machine, with keys that open nothing."""
    client: SageMakerRuntimeClient = boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="null",
        aws_secret_access_key="null",  # noqa: S106 - opens nothing
        config=_config(timeout_s).merge(Config(proxies={})),
    )
    return client


def _config(timeout_s: float) -> Config:
    return Config(
        read_timeout=timeout_s,
        retries={"total_max_attempts": 1},
        max_pool_connections=THREADS,
    )


class SageMakerTarget:
    """Streams from an endpoint, or from one of its inference components."""

    def __init__(
        self,
        client: SageMakerRuntimeClient,
        endpoint: str,
        *,
        route: str,
        clock: Clock,
        inference_component: str | None = None,
    ) -> None:
        """Containers that don't know the custom attribute `route` take no notice of it."""
        self._client = client
        self._clock = clock
        self._arguments: dict[str, Any] = {
            "EndpointName": endpoint,
            "ContentType": "application/json",
            "CustomAttributes": _ROUTES[route],
        }
        if inference_component is not None:
            self._arguments["InferenceComponentName"] = inference_component
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bench")
        self._closed = False

    async def prepare(self, streams: int) -> None:
        """boto3 opens connections as it needs them; the warm-up of each point does."""

    async def ask(self, body: bytes) -> Answer:
        """Send a request and read its stream to the end."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, body)

    def _ask(self, body: bytes) -> Answer:
        reader = AnswerReader(self._clock())
        try:
            self._read(body, reader)
            return reader.answer(self._clock())
        except EventStreamError as error:
            return reader.failed("stream", str(error), self._clock())
        except ClientError as error:
            return reader.failed(_kind(error), str(error), self._clock())
        except (ReadTimeoutError, ConnectTimeoutError) as error:
            return reader.failed("timeout", str(error), self._clock())
        except (BotoCoreError, OSError) as error:
            return reader.failed("connection", str(error), self._clock())

    def _read(self, body: bytes, reader: AnswerReader) -> None:
        answer = self._client.invoke_endpoint_with_response_stream(**self._arguments, Body=body)
        with contextlib.closing(answer["Body"]) as stream:
            for event in stream:
                if self._closed:
                    return
                if "PayloadPart" in event:
                    reader.feed(event["PayloadPart"]["Bytes"], self._clock())

    async def close(self) -> None:
        """Wait for no answer any more: each thread ends with the next piece of its own."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)


def _kind(error: ClientError) -> str:
    """By the container's own status if it answered, else by AWS's code and status."""
    told = error.response
    if "Throttling" in told["Error"].get("Code", ""):
        return "throttled"
    container = told.get("OriginalStatusCode")
    status = container if isinstance(container, int) and container > 0 else None
    return kind_of_status(status or told["ResponseMetadata"]["HTTPStatusCode"])
