"""The function's entry: CloudFormation's request starts a build, CodeBuild's event at its end is passed on.

A custom resource may take an hour and a build eight, so `Custom::EngineImage` is answered when the build has
started, and the stack waits for the signal of a wait condition. `Custom::EngineImageDigest` then asks which
image that was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_llm_image_build import build as codebuild
from quant_llm_image_build.outcome import failure_reason
from quant_llm_image_build.request import Image, ImageRequest
from quant_llm_lambda.cloudformation import AnswerRefusedError, send_failure, send_success, signal
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
    data: dict[str, str] = {}
    try:
        if event["RequestType"] != "Delete":  # images stay for a rollback; they go with their repository
            properties = event["ResourceProperties"]
            physical_id = Image.from_properties(properties).physical_id
            if event["ResourceType"] == "Custom::EngineImageDigest":
                data = {"ImageUri": _look_up(Image.from_properties(properties))}
            else:
                _provide(ImageRequest.from_properties(properties), str(event["RequestId"]))
    except Exception as error:
        # Whatever went wrong, without an answer the stack waits in vain.
        log("image.failed", error=repr(error))
        send_failure(event, physical_id=physical_id, reason=f"the image can't be provided: {error}")
        raise
    send_success(event, physical_id=physical_id, data=data)


def _look_up(image: Image) -> str:
    digest = codebuild.image_digest(image)
    if digest is None:
        raise LookupError(f"{image.physical_id} is not in its repository")
    return image.by_digest(digest)


def _provide(request: ImageRequest, request_id: str) -> None:
    """Signal that the image is there, or start the build whose end does."""
    digest = codebuild.image_digest(request)
    if digest is not None:
        _succeed(request, digest)
    else:
        build_id = codebuild.start(request, request_id)
        log("image.build_started", build_id=build_id, image=request.physical_id)


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
    _signal(request, "FAILURE", data="", reason=reason)


def _succeed(request: ImageRequest, digest: str) -> None:
    image_uri = request.by_digest(digest)
    log("image.ready", image=image_uri)
    _signal(request, "SUCCESS", data=image_uri, reason="the image is in its repository")


def _signal(request: ImageRequest, status: str, *, data: str, reason: str) -> None:
    try:
        signal(request.wait_handle, status=status, unique_id=request.tag, data=data, reason=reason)
    except AnswerRefusedError as error:
        # No stack waits any more, after a rollback say: the image stays, and the next deploy finds it.
        log("image.signal_refused", image=request.physical_id, status=status, problem=str(error))
