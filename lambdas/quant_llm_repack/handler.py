"""The Lambda function behind `Custom::ModelArtifact`.

Environment: `HF_ENDPOINT`, the hub or a mirror of it; https://huggingface.co without it.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from quant_llm_lambda.cloudformation import send_failure, send_success
from quant_llm_lambda.log import log
from quant_llm_repack.deadline import Deadline
from quant_llm_repack.errors import RepackError
from quant_llm_repack.hub import DEFAULT_ENDPOINT, HubRepository
from quant_llm_repack.repack import Artifact, repack
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.store import ArtifactStore

if TYPE_CHECKING:  # not in the function's runtime
    from mypy_boto3_s3 import S3Client

# Kept for the abort of the upload and the answer to CloudFormation: 90 s, or a quarter of a shorter time-out.
_RESERVE_SECONDS = 90.0
_RESERVE_SHARE = 0.25

# Few tries with short time-outs, so that a call to an S3 that does not answer ends within the reserve.
_S3_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10, read_timeout=20
)


class LambdaContext(Protocol):
    """What the handler uses of Lambda's context object."""

    log_stream_name: str

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda ends the function."""
        ...


def _s3_client() -> S3Client:
    return boto3.client("s3", config=_S3_CONFIG)


def _secret_text(arn: str) -> str:
    return str(boto3.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The world outside of the function; a test gives its own."""

    s3: Callable[[], S3Client] = _s3_client
    secret: Callable[[str], str] = _secret_text
    http: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)
    sleep: Callable[[float], None] = time.sleep
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def handle(event: Mapping[str, Any], context: LambdaContext) -> None:
    """Answer one request of CloudFormation; the entry point that Lambda calls."""
    answer(event, context, Edges())


def answer(event: Mapping[str, Any], context: LambdaContext, edges: Edges) -> None:
    """Do what the event asks for and tell CloudFormation how it ended.

    Whatever goes wrong becomes FAILED with a reason. AnswerError when CloudFormation can't be told: Lambda
    then runs the event again, which finds the artifact there.
    """
    physical_id = str(event.get("PhysicalResourceId", event["LogicalResourceId"]))
    try:
        if event["RequestType"] == "Delete":  # artifacts are kept: other stacks and rollbacks may need them
            data: dict[str, str] = {}
        else:
            request = ArtifactRequest.from_properties(event["ResourceProperties"])
            physical_id = request.url
            artifact = _make(request, context, edges)
            data = {"ModelDataUrl": request.url, "Bytes": str(artifact.archive_bytes)}
    except RepackError as error:
        reason = str(error)
        log("repack.failed", artifact=physical_id, reason=reason)
    except Exception as error:  # CloudFormation waits an hour for a function that died without a word
        reason = f"the repack function has a bug, see its log stream {context.log_stream_name}: {error!r}"
        log("repack.failed", artifact=physical_id, reason=reason, traceback=traceback.format_exc())
    else:
        send_success(event, physical_id=physical_id, data=data, http=edges.http, sleep=edges.sleep)
        return
    send_failure(event, physical_id=physical_id, reason=reason, http=edges.http, sleep=edges.sleep)


def _make(request: ArtifactRequest, context: LambdaContext, edges: Edges) -> Artifact:
    total = context.get_remaining_time_in_millis() / 1000
    reserve = min(_RESERVE_SECONDS, total * _RESERVE_SHARE)
    deadline = Deadline(lambda: context.get_remaining_time_in_millis() / 1000 - reserve)

    def hub() -> HubRepository:
        return HubRepository(
            request,
            endpoint=edges.environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT,
            token=_token(request, edges),
            deadline=deadline,
            http=edges.http,
            sleep=edges.sleep,
        )

    log("repack.started", artifact=request.url, repository=request.repository, commit=request.commit)
    artifact = repack(
        request,
        source=hub,
        store=ArtifactStore(edges.s3(), request.bucket),
        report=lambda progress: log("repack.progress", **asdict(progress)),
    )
    log("repack.finished", artifact=request.url, **asdict(artifact))
    return artifact


def _token(request: ArtifactRequest, edges: Edges) -> str | None:
    arn = request.token_secret_arn
    if arn is None:
        return None
    try:
        return edges.secret(arn).strip()
    except (ClientError, BotoCoreError) as error:
        raise RepackError(f"the hub token can't be read from the secret {arn}: {error}") from None
