"""The AWS edge: ECR, CodeBuild and its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError

from quant_llm_image_build.request import Image, ImageRequest

_LOG_LINES = 12


def image_digest(image: Image) -> str | None:
    """The digest under the image's tag, `sha256:…`; None when the image is not there."""
    try:
        images = boto3.client("ecr").describe_images(
            repositoryName=image.repository_name, imageIds=[{"imageTag": image.tag}]
        )["imageDetails"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageNotFoundException":
            return None
        raise
    return str(images[0]["imageDigest"]) if images else None


def start(request: ImageRequest, request_id: str) -> str:
    """Start the build and return its id; the same `request_id` of CloudFormation twice starts one build."""
    codebuild: Any = boto3.client("codebuild")
    build = codebuild.start_build(
        projectName=request.project_name,
        environmentVariablesOverride=request.to_build_variables(),
        idempotencyToken=request_id,
    )
    return str(build["build"]["id"])


def read(build_id: str) -> Mapping[str, Any]:
    """The build as CodeBuild describes it."""
    build: Mapping[str, Any] = boto3.client("codebuild").batch_get_builds(ids=[build_id])["builds"][0]
    return build


def last_log_lines(build: Mapping[str, Any]) -> list[str]:
    """The end of the build's log, where the reason usually stands; empty when there is none yet."""
    log = build.get("logs", {})
    if not log.get("groupName") or not log.get("streamName"):
        return []
    events = boto3.client("logs").get_log_events(
        logGroupName=log["groupName"], logStreamName=log["streamName"], limit=_LOG_LINES, startFromHead=False
    )["events"]
    return [event["message"].strip() for event in events if event["message"].strip()]
