"""What SageMaker's runtime API passes on to a container, and its answers to callers."""

from __future__ import annotations

import http
import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# SageMaker strips all headers of a request but those of its API. By the name in a WSGI environment.
_TO_CONTAINER = {
    "CONTENT_TYPE": "Content-Type",
    "HTTP_ACCEPT": "Accept",
    "HTTP_X_AMZN_SAGEMAKER_ACCEPT": "Accept",  # its name in InvokeEndpointWithResponseStream
    "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES": "X-Amzn-SageMaker-Custom-Attributes",
    "HTTP_X_AMZN_SAGEMAKER_INFERENCE_ID": "X-Amzn-SageMaker-Inference-Id",
    "HTTP_X_AMZN_SAGEMAKER_SESSION_ID": "X-Amzn-SageMaker-Session-Id",
}

Headers = list[tuple[str, str]]


@dataclass(eq=False)  # an exception must stay hashable
class InvocationFailed(Exception):
    """An error of the runtime API: `code` names the exception that boto3 raises."""

    code: str
    status: http.HTTPStatus
    message: str
    details: dict[str, Any] = field(default_factory=dict)


def invalid(message: str) -> InvocationFailed:
    """A request that SageMaker refuses by itself."""
    return InvocationFailed("ValidationError", http.HTTPStatus.BAD_REQUEST, message)


def for_container(environ: WSGIEnvironment) -> dict[str, str]:
    """The headers that reach the container."""
    return {header: environ[name] for name, header in _TO_CONTAINER.items() if environ.get(name)}


def respond_error(error: InvocationFailed, start_response: StartResponse) -> list[bytes]:
    """Answer with an error as boto3 reads it."""
    body = json.dumps({"Message": error.message, "message": error.message, **error.details}).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("x-amzn-ErrorType", error.code),
    ]
    start(start_response, error.status, headers)
    return [body]


def start(start_response: StartResponse, status: http.HTTPStatus, headers: Headers) -> None:
    """Begin an answer, with a request id."""
    headers = [*headers, ("x-amzn-RequestId", str(uuid.uuid4()))]
    start_response(f"{status.value} {status.phrase}", headers)
