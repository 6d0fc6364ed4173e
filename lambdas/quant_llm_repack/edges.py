"""The world outside of the function: AWS, the hub, the clock. A test gives its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from quant_llm_repack.deadline import Deadline
from quant_llm_repack.errors import RepackError
from quant_llm_repack.hub import DEFAULT_ENDPOINT, HubRepository
from quant_llm_repack.made import MadeFiles
from quant_llm_repack.objects import THREADS
from quant_llm_repack.plan import BLOCKS_PER_PART
from quant_llm_repack.proxies import EnvironmentPool
from quant_llm_repack.request import ArtifactRequest

if TYPE_CHECKING:  # not in the function's runtime
    from mypy_boto3_s3 import S3Client

# Kept for what is under way at the deadline, and for the answer: 90 s, or a quarter of a shorter time-out.
_RESERVE_SECONDS = 90.0
_RESERVE_SHARE = 0.25

# Few tries with short time-outs, so that a call to an S3 that does not answer ends within the reserve.
# A part's CRC-32 is signed and its way encrypted. Its sha256 too would be computed by botocore, for the
# signature alone, wherever the caller gives the CRC-32: every byte would be hashed once more.
_S3_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=10,
    read_timeout=20,
    max_pool_connections=THREADS,
    s3={"payload_signing_enabled": False},
)


class LambdaContext(Protocol):
    """What the function uses of Lambda's context object."""

    log_stream_name: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the function."""
        ...


def _s3_client() -> S3Client:
    return boto3.client("s3", config=_S3_CONFIG)


def _secret_text(arn: str) -> str:
    return str(boto3.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])


def _start_execution(state_machine_arn: str, name: str, input_: str) -> None:
    client = boto3.client("stepfunctions")
    try:
        client.start_execution(stateMachineArn=state_machine_arn, name=name, input=input_)
    except client.exceptions.ExecutionAlreadyExists:
        return  # the same request of CloudFormation, delivered twice


def _describe_execution(arn: str) -> Mapping[str, Any]:
    described: dict[str, Any] = boto3.client("stepfunctions").describe_execution(executionArn=arn)
    return described


@dataclass(frozen=True, kw_only=True)
class Edges:
    """What the function reaches, each as a seam; `executor` gives that many threads beside the caller's."""

    s3: Callable[[], S3Client] = _s3_client
    secret: Callable[[str], str] = _secret_text
    start_execution: Callable[[str, str, str], None] = _start_execution
    describe_execution: Callable[[str], Mapping[str, Any]] = _describe_execution
    http: urllib3.PoolManager = field(default_factory=EnvironmentPool)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    executor: Callable[[int], Executor] = ThreadPoolExecutor
    blocks_per_part: int = BLOCKS_PER_PART
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def deadline(self, context: LambdaContext) -> Deadline:
        """When the work must stop, so that time is left to end what is under way and to answer."""
        total = context.get_remaining_time_in_millis() / 1000
        reserve = min(_RESERVE_SECONDS, total * _RESERVE_SHARE)
        return Deadline(lambda: context.get_remaining_time_in_millis() / 1000 - reserve)

    def hub(self, request: ArtifactRequest, deadline: Deadline) -> HubRepository | MadeFiles:
        """The request's repository, or the folder that has its files made; RepackError without its token."""
        if request.source_prefix is not None:
            return MadeFiles(self.s3(), request.bucket, request.source_prefix, deadline)
        return HubRepository(
            request,
            endpoint=self.environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT,
            token=self._token(request),
            deadline=deadline,
            http=self.http,
            sleep=self.sleep,
            clock=self.clock,
        )

    def _token(self, request: ArtifactRequest) -> str | None:
        arn = request.token_secret_arn
        if arn is None:
            return None
        try:
            return self.secret(arn).strip()
        except (ClientError, BotoCoreError) as error:
            raise RepackError(f"the hub token can't be read from the secret {arn}: {error}") from None
