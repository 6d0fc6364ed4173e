"""SageMaker's runtime API in front of the hosted endpoints: invocations, whole and as a response stream."""

from __future__ import annotations

import contextlib
import http
import http.client
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from quant_llm_tools.local_aws import event_stream
from quant_llm_tools.local_aws.cloud import DEFAULT_ACCOUNT
from quant_llm_tools.local_aws.hosting import HostedEndpoint, find_endpoint
from quant_llm_tools.local_aws.hosting_component_api import find_component
from quant_llm_tools.local_aws.hosting_variant import HostedVariant
from quant_llm_tools.local_aws.runtime_answers import (
    InvocationFailed,
    for_container,
    invalid,
    respond_error,
    start,
)
from quant_llm_tools.local_aws.runtime_async import put_request
from quant_llm_tools.local_aws.runtime_upstream import Upstream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# SageMaker's limit of a request to a real-time endpoint.
_REQUEST_BYTES = 25 * 1024 * 1024

_ROUTE = re.compile(
    r"/endpoints/(?P<endpoint>[^/]+)/(?P<call>invocations|invocations-response-stream|async-invocations)"
)
_OPENAI_ROUTE = re.compile(r"/endpoints/(?P<endpoint>[^/]+)(?P<path>/openai/v1/.+)")
_SIGNED_REGION = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/")

_TO_CALLER = (
    "X-Amzn-SageMaker-Custom-Attributes",
    "X-Amzn-SageMaker-New-Session-Id",
    "X-Amzn-SageMaker-Closed-Session-Id",
)


class RuntimeMiddleware:
    """A WSGI application that answers the runtime's routes and hands everything else on to `app`.

    It serves any host name, so that one endpoint URL does for all of AWS.
    """

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        invocation = _ROUTE.fullmatch(path) if environ["REQUEST_METHOD"] == "POST" else None
        openai = _OPENAI_ROUTE.fullmatch(path)
        try:
            if invocation is not None:
                return _invoke(invocation["endpoint"], invocation["call"], environ, start_response)
            if openai is not None:
                return _pass_through(openai["endpoint"], openai["path"], environ, start_response)
        except InvocationFailed as error:
            return respond_error(error, start_response)
        return self._app(environ, start_response)


def _invoke(name: str, call: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    endpoint, variant = _find(name, environ)
    if call == "async-invocations":
        return put_request(endpoint, environ, start_response)
    if endpoint.requests is not None:
        raise invalid(f"Endpoint {name} is configured for asynchronous inference: call InvokeEndpointAsync.")
    streams = call == "invocations-response-stream"
    settings = endpoint.settings
    timeout = settings.stream_seconds if streams else settings.response_seconds
    asked = _body(environ)
    upstream = _request(endpoint, variant, environ, "POST", "/invocations", asked, timeout)
    streaming = False
    try:
        if upstream.status // 100 != 2:
            with _as_model_error(endpoint, variant, timeout):
                text = upstream.read().decode(errors="replace")
            raise _refused(endpoint, variant, upstream.status, text)
        content_type = upstream.headers.get("Content-Type", "application/octet-stream")
        headers = [
            ("x-Amzn-Invoked-Production-Variant", variant.name),
            *((name, upstream.headers[name]) for name in _TO_CALLER if name in upstream.headers),
        ]
        if streams:
            headers += [
                ("Content-Type", event_stream.CONTENT_TYPE),
                ("X-Amzn-SageMaker-Content-Type", content_type),
            ]
            start(start_response, http.HTTPStatus.OK, headers)
            streaming = True
            return _events(endpoint, upstream)
        with _as_model_error(endpoint, variant, timeout):
            body = upstream.read()
        headers += [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        if endpoint.capture is not None:
            sent = (environ.get("CONTENT_TYPE", ""), asked)
            endpoint.capture.keep(variant.name, sent, (content_type, body))
        start(start_response, http.HTTPStatus.OK, headers)
        return [body]
    finally:
        if not streaming:
            upstream.close()


def _pass_through(
    name: str, path: str, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """The OpenAI-compatible routes: status and bytes of the container as they are, in both directions."""
    endpoint, variant = _find(name, environ)
    query = environ.get("QUERY_STRING", "")
    upstream = _request(
        endpoint,
        variant,
        environ,
        environ["REQUEST_METHOD"],
        f"{path}?{query}" if query else path,
        _body(environ),
        endpoint.settings.stream_seconds,
    )
    content_type = upstream.headers.get("Content-Type", "application/json")
    start(start_response, http.HTTPStatus(upstream.status), [("Content-Type", content_type)])
    return _raw(upstream)


def _find(name: str, environ: WSGIEnvironment) -> tuple[HostedEndpoint, HostedVariant]:
    """The endpoint and the variant for a request. Raises InvocationFailed if they can't answer."""
    signed = _SIGNED_REGION.search(environ.get("HTTP_AUTHORIZATION", ""))
    endpoint = find_endpoint(name, signed["region"] if signed else None)
    if endpoint is None:
        raise invalid(f"Endpoint {name} of account {DEFAULT_ACCOUNT} not found.")
    component = environ.get("HTTP_X_AMZN_SAGEMAKER_INFERENCE_COMPONENT")
    if component is not None or (endpoint.takes_components and endpoint.endpoint_status == "InService"):
        return endpoint, _answering(_copy(endpoint, component))
    target = environ.get("HTTP_X_AMZN_SAGEMAKER_TARGET_VARIANT")
    if target is not None and not endpoint.has_variant(target):
        raise invalid(f"Variant {target} of endpoint {name} not found.")
    variant = endpoint.choose(target)
    if variant is None:
        # SageMaker says only the first sentence.
        state = ": ".join(filter(None, (endpoint.endpoint_status, endpoint.failure_reason)))
        raise invalid(f"Endpoint {name} of account {endpoint.account} not found. It is {state}")
    return endpoint, _answering(variant)


def _copy(endpoint: HostedEndpoint, name: str | None) -> HostedVariant:
    """The copy of an inference component that answers; the messages are SageMaker's."""
    if not endpoint.takes_components:
        raise invalid(
            "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy "
            "inference components. Please remove the Inference Component Name header and try again."
        )
    if name is None:
        raise invalid(
            "Inference Component Name header is required for endpoints to which you plan to deploy inference "
            "components. Please include Inference Component Name header or consider using SageMaker models."
        )
    component = find_component(name, endpoint.region)
    if component is None or component.endpoint is not endpoint:
        raise invalid(f'Could not find inference component "{name}".')
    if component.serving is None:
        raise invalid(
            "Inference Component has no capacity to process this request. ApplicationAutoScaling may be "
            "in-progress (if configured) or try to increase the capacity by invoking "
            "UpdateInferenceComponentRuntimeConfig API."
        )
    return component.serving


def _answering(variant: HostedVariant) -> HostedVariant:
    if variant.unavailable is not None:
        raise InvocationFailed("ServiceUnavailable", http.HTTPStatus.SERVICE_UNAVAILABLE, variant.unavailable)
    return variant


def _request(
    endpoint: HostedEndpoint,
    variant: HostedVariant,
    environ: WSGIEnvironment,
    method: str,
    path: str,
    body: bytes,
    timeout: float,
) -> Upstream:
    headers = for_container(environ)
    with _as_model_error(endpoint, variant, timeout):
        return Upstream(variant.port, method=method, path=path, headers=headers, body=body, timeout=timeout)


def _body(environ: WSGIEnvironment) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > _REQUEST_BYTES:
        raise InvocationFailed(
            "413",
            http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a request may have {_REQUEST_BYTES} bytes, this one has {length}",
        )
    body: bytes = environ["wsgi.input"].read(length)
    return body


def _events(endpoint: HostedEndpoint, upstream: Upstream) -> Iterator[bytes]:
    """The answer as PayloadPart events; when the caller hangs up, so does this on the container."""
    try:
        for block in upstream.blocks():
            yield event_stream.payload_part(block)
    except TimeoutError:
        yield event_stream.model_stream_error(
            "ModelInvocationTimeExceeded",
            f"The model did not finish its answer within {endpoint.settings.stream_seconds:g} seconds.",
        )
    except (OSError, http.client.HTTPException) as error:
        yield event_stream.model_stream_error(
            "StreamBroken", f"The container broke off its answer: {error!r}"
        )
    finally:
        upstream.close()


def _raw(upstream: Upstream) -> Iterator[bytes]:
    try:
        yield from upstream.blocks()
    finally:
        upstream.close()


def _refused(endpoint: HostedEndpoint, variant: HostedVariant, status: int, text: str) -> InvocationFailed:
    side = "client" if status // 100 == 4 else "server"
    return _failed_model(
        variant,
        status,
        text,
        f'Received {side} error ({status}) from primary with message "{text}". See log group '
        f"{variant.log.group} in account {endpoint.account} for more information.",
    )


@contextlib.contextmanager
def _as_model_error(endpoint: HostedEndpoint, variant: HostedVariant, timeout: float) -> Iterator[None]:
    """Turn what `Upstream` raises into the runtime's ModelError."""
    try:
        yield
    except TimeoutError:
        message = (
            "Your invocation timed out while waiting for a response from container primary after "
            f"{timeout:g} seconds."
        )
        raise _failed_model(variant, 0, "", message) from None
    except (OSError, http.client.HTTPException) as error:
        message = f"The connection to container primary of endpoint {endpoint.endpoint_name} broke: {error!r}"
        raise _failed_model(variant, 0, "", message) from error


def _failed_model(variant: HostedVariant, status: int, text: str, message: str) -> InvocationFailed:
    details = {"OriginalStatusCode": status, "OriginalMessage": text, "LogStreamArn": variant.log.arn}
    return InvocationFailed("ModelError", http.HTTPStatus.FAILED_DEPENDENCY, message, details)
