"""InvokeEndpointAsync: the request is in S3, and so will the answer be."""

from __future__ import annotations

import http
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from quant_llm_tools.local_aws.hosting import HostedEndpoint
from quant_llm_tools.local_aws.runtime_answers import for_container, invalid, start

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# What InvokeEndpointAsync says beside, in headers of this prefix.
_ASYNC = {
    f"HTTP_X_AMZN_SAGEMAKER_{name.upper()}": name
    for name in (
        "InputLocation",
        "RequestTTLSeconds",
        "InvocationTimeoutSeconds",
        "S3OutputPathExtension",
        "Filename",
    )
}


def put_request(
    endpoint: HostedEndpoint, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Queue a request for an asynchronous endpoint. Raises InvocationFailed for another."""
    if endpoint.requests is None:
        raise invalid(f"Endpoint {endpoint.endpoint_name} is not configured for asynchronous inference.")
    given = {name: environ[header] for header, name in _ASYNC.items() if environ.get(header)}
    if unknown := {"S3OutputPathExtension", "Filename"} & set(given):
        raise invalid(f"the embedded AWS does not apply {sorted(unknown)[0]} of InvokeEndpointAsync")
    headers = for_container(environ)
    if content_type := environ.get("HTTP_X_AMZN_SAGEMAKER_CONTENT_TYPE"):
        headers["Content-Type"] = content_type
    limits = {
        field: float(given[name])
        for name, field in (
            ("RequestTTLSeconds", "life_seconds"),
            ("InvocationTimeoutSeconds", "timeout_seconds"),
        )
        if name in given
    }
    request = endpoint.requests.request(headers, given["InputLocation"], **limits)
    endpoint.requests.put(request)
    answer = json.dumps({"InferenceId": request.inference_id}).encode()
    answered = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(answer))),
        ("X-Amzn-SageMaker-OutputLocation", request.output_location),
        ("X-Amzn-SageMaker-FailureLocation", request.failure_location),
    ]
    start(start_response, http.HTTPStatus.ACCEPTED, answered)
    return [answer]
