"""The check itself: each request that is signed with a role's credentials, before anything happens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

import moto.core.errors
import moto.settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.iam.access_control import AssumedRoleAccessKey, CreateAccessKeyFailure, IAMRequestBase
from moto.iam.exceptions import NotFoundException
from moto.iam.models import ManagedPolicy, iam_backends
from moto.s3.exceptions import BucketAccessDeniedError
from moto.utilities.utils import get_partition

from quant_llm_tools.local_aws.access.conditions import CannotEvaluate
from quant_llm_tools.local_aws.access.policy import Decision, Document, Role, decide
from quant_llm_tools.local_aws.access.requests import ApiRequest, asked
from quant_llm_tools.local_aws.cloud import DEFAULT_ACCOUNT, Seam

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_TOKEN = "X-Amz-Security-Token"  # noqa: S105 - the header's name
_CREDENTIAL = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")
_INVOCATION = re.compile(r"/endpoints/(?P<endpoint>[^/]+)/(?P<call>.+)")
_INVOKE = {
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
    "async-invocations": "InvokeEndpointAsync",
}


class AccessDenied(ServiceException):
    """As services with JSON say it; S3 has an exception of its own."""

    code = "AccessDeniedException"


def seams() -> list[Seam]:
    """Who signs with the embedded AWS's own key is its administrator; who signs as a role is checked.

    moto finds the role by the session's token. Its evaluation is replaced: it takes a condition that does
    not hold for a denial, knows the resources of few services, and neither keys' policies nor boundaries.
    Made after all other seams, because it goes around what they put there.
    """
    authorize = ActionAuthenticatorMixin._authenticate_and_authorize_action
    act = BaseResponse.call_action

    def authenticate(response: Any, iam_request_cls: type, resource: str = "*") -> None:
        if _TOKEN in response.headers:
            authorize(response, iam_request_cls, resource)

    def check(request: IAMRequestBase, resource: str) -> None:
        service, _, action = request._action.partition(":")
        if action in ("GetCallerIdentity", "GetSessionToken") and service == "sts":
            return
        if not isinstance(request._access_key, AssumedRoleAccessKey):
            return
        role = role_of(request._access_key)
        if role is None:
            return
        asking = ApiRequest(
            service=service,
            action=action,
            region=request._region,
            account=request.account_id,
            partition=request._access_key.partition,
            role_arn=role.arn,
            path=request._path,
            headers={name.lower(): value for name, value in request._headers.items()},
            # moto has read a form already.
            body=urlencode(request._data, doseq=True).encode() if service == "sns" else request._body or b"",
            resource=resource,
        )
        denied = denial(role, asking)
        if denied is None:
            return
        if service == "s3":
            error = BucketAccessDeniedError(request._data.get("BucketName", ""))
            error.message = denied
            raise error
        raise AccessDenied(denied)

    def call_action(response: BaseResponse) -> TYPE_RESPONSE:
        try:
            return act(response)
        except AccessDenied as error:
            return response.serialized(ActionResult(error))

    return [
        (moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0),
        # Every service has it, the models of some do not say so: moto warns of such.
        (moto.core.errors, "COMMON_ERROR_CODES", [*moto.core.errors.COMMON_ERROR_CODES, AccessDenied.code]),
        (ActionAuthenticatorMixin, "_authenticate_and_authorize_action", authenticate),
        # moto's own is wrong for paths with escapes in them; a session is known by its token.
        (IAMRequestBase, "check_signature", lambda request: None),
        (IAMRequestBase, "check_action_permitted", check),
        (BaseResponse, "call_action", call_action),
    ]


def denial(role: Role, request: ApiRequest) -> str | None:
    """Why the request is refused, in the words of AWS; None if it is allowed."""
    for call, resource_policy in asked(request):
        try:
            decision = decide(role, call, resource_policy)
        except CannotEvaluate as unknown:
            decision = Decision(False, f"the embedded AWS can not evaluate {unknown}")
        if not decision.allowed:
            return (
                f"User: {role.session_arn} is not authorized to perform: {call.action} on resource: "
                f"{call.resource} because {decision.reason}"
            )
    return None


def role_of(key: AssumedRoleAccessKey) -> Role | None:
    """The role behind the credentials, as it is now; None for one that nobody made but moto lets assume.

    Such a session is the administrator of its account; there is no other way into one.
    """
    backend = iam_backends[key.account_id][key.partition]
    try:
        role = backend.get_role(key._owner_role_name)
    except NotFoundException:
        return None
    boundary = None
    if role.permissions_boundary_arn:
        boundary = _document(backend.get_policy(role.permissions_boundary_arn))
    policies: list[Any] = key.collect_policies()
    return Role(role.arn, key.arn, tuple(map(_document, policies)), boundary)


def _document(policy: str | ManagedPolicy) -> Document:
    document: Document
    if isinstance(policy, str):
        document = json.loads(policy)
    else:
        (current,) = (version for version in policy.versions if version.is_default)
        document = json.loads(current.document)
    return document


class CheckedInvocations:
    """A WSGI application that checks calls of endpoints, which moto never sees, and hands on to `app`."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        refused = self._refused(environ)
        if refused is None:
            return self._app(environ, start_response)
        body = json.dumps({"Message": refused}).encode()
        headers = [
            ("x-amzn-errortype", "AccessDeniedException"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        start_response("403 Forbidden", headers)
        return [body]

    @staticmethod
    def _refused(environ: WSGIEnvironment) -> str | None:
        invocation = _INVOCATION.fullmatch(environ.get("PATH_INFO", ""))
        credential = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        token = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
        if invocation is None or credential is None or token is None or credential["service"] != "sagemaker":
            return None
        partition = get_partition(credential["region"])
        try:
            key = AssumedRoleAccessKey(DEFAULT_ACCOUNT, partition, credential["key"], {_TOKEN: token})
        except CreateAccessKeyFailure:
            return "The security token included in the request is invalid"
        role = role_of(key)
        if role is None:
            return None
        name = json.dumps({"EndpointName": unquote(invocation["endpoint"])}).encode()
        return denial(
            role,
            ApiRequest(
                service="sagemaker",
                action=_INVOKE.get(invocation["call"], "InvokeEndpoint"),
                region=credential["region"],
                account=role.account,
                partition=partition,
                role_arn=role.arn,
                body=name,
            ),
        )
