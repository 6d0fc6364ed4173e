"""The function's entry: CloudFormation's request starts a build, CodeBuild's event at its end answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_llm_image_build import build as codebuild
from quant_llm_image_build.outcome import failure_reason
from quant_llm_image_build.request import ImageRequest
from quant_llm_lambda.cloudformation import send_failure, send_success
from quant_llm_lambda.log import log


def handle(event: Mapping[str, Any], context: object) -> None:
    """Take CloudFormation's request, or EventBridge's event that a build has ended."""
    if event.get("detail-type") == "CodeBuild Build State Change":
        _ended(str(event["detail"]["build-id"]))
    else:
        _requested(event)


def _requested(event: Mapping[str, Any]) -> None:
    log("image.requested", type=event["RequestType"], request_id=event["RequestId"])
    physical_id = str(event.get("PhysicalResourceId", event["LogicalResourceId"]))
    try:
        request = ImageRequest.from_event(event)
        if event["RequestType"] == "Delete":
            # Images stay for a rollback; they go with their repository.
            send_success(event, physical_id=physical_id, data={})
            return
        physical_id = request.physical_id
        digest = codebuild.image_digest(request)
        if digest is not None:
            _succeed(request, digest)
        else:
            build_id = codebuild.start(request)
            log("image.build_started", build_id=build_id, image=request.physical_id)
    except Exception as error:
        # Whatever went wrong, without an answer the stack waits for an hour.
        log("image.failed", error=repr(error))
        send_failure(event, physical_id=physical_id, reason=f"the image build could not be started: {error}")
        raise


def _ended(build_id: str) -> None:
    build = codebuild.read(build_id)
    request = ImageRequest.from_build(build)
    if request is None:
        log("image.build_ignored", build_id=build_id, reason="started by hand, no stack waits for it")
        return
    status = build["buildStatus"]
    digest = codebuild.image_digest(request) if status == "SUCCEEDED" else None
    if digest is not None:
        _succeed(request, digest)
        return
    reason = failure_reason(build, codebuild.last_log_lines(build))
    log("image.failed", build_id=build_id, status=status, reason=reason)
    send_failure(request.event, physical_id=request.physical_id, reason=reason)


def _succeed(request: ImageRequest, digest: str) -> None:
    image_uri = f"{request.repository_uri}@{digest}"
    log("image.ready", image=image_uri)
    send_success(request.event, physical_id=request.physical_id, data={"ImageUri": image_uri})
