"""Which actions on which resources an API request asks IAM for."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

from moto.kms.models import kms_backends
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends

from quant_llm_tools.local_aws.access.policy import Call, ResourcePolicy

Json = Any

_KEY_ID_BYTES = 36  # moto's ciphertexts begin with the key's id

# Keys of conditions that the request may be without.
_ABSENT = (
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "cloudwatch:namespace",
    "iam:passedtoservice",
    "kms:grantisforawsresource",
    "kms:viaservice",
    "s3:delimiter",
    "s3:prefix",
)


@dataclass(frozen=True)
class ApiRequest:
    """A request as it came: `action` is the API's name of it, `resource` what moto knows of its resource."""

    service: str
    action: str
    region: str
    account: str
    partition: str
    role_arn: str
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    resource: str = "*"

    def arn(self, service: str, name: str) -> str:
        """The ARN of something in the request's region and account."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{name}"

    @property
    def json(self) -> dict[str, Json]:
        """The body's JSON."""
        parsed: dict[str, Json] = json.loads(self.body or b"{}")
        return parsed

    @property
    def context(self) -> dict[str, str | None]:
        """The condition keys that every request has, and those that it may be without."""
        return {
            **dict.fromkeys(_ABSENT),
            "aws:principalaccount": self.account,
            "aws:principalarn": self.role_arn,
            "aws:principaltype": "AssumedRole",
            "aws:requestedregion": self.region,
            "aws:resourceaccount": self.account,  # moto finds nothing of other accounts
            # Loopback stands for the encrypted connection that a client has to AWS.
            "aws:securetransport": "true",
            "aws:viaawsservice": "false",
            "s3:tlsversion": "1.3",
        }


Asked = tuple[Call, ResourcePolicy | None]


def asked(request: ApiRequest) -> Iterator[Asked]:
    """All that must be allowed for the request, each with the policy that its resource has."""
    if request.service == "s3":
        yield from _of_s3(request)
    elif request.service == "kms":
        yield from _of_key(request, request.action, _key_id(request.json), request.context)
    else:
        name = _ACTIONS.get((request.service, request.action), request.action)
        service = _SERVICES.get(request.service, request.service)
        for resource in _resources(request):
            yield Call(f"{service}:{name}", resource, request.context), None


# What the API calls otherwise than IAM; and where signatures name the service otherwise.
_ACTIONS = {("lambda", "Invoke"): "InvokeFunction"}
_SERVICES = {"monitoring": "cloudwatch"}


def _of_s3(request: ApiRequest) -> Iterator[Asked]:
    """S3 checks the caller's rights on the bucket's key too, as the caller's own call of KMS."""
    bucket, _, key = request.resource.rpartition(":::")[2].partition("/")
    query = parse_qs(urlsplit(request.path).query)
    context = request.context | {
        f"s3:{name}": query.get(name, [None])[0] for name in ("delimiter", "prefix") if name in query
    }
    # moto's names of actions, where they differ from IAM's.
    action = {"HeadBucket": "ListBucket"}.get(request.action, request.action)
    objects = [key] if key else _deleted(request)
    resources = [f"arn:{request.partition}:s3:::{bucket}/{name}" for name in objects] or [request.resource]
    found = s3_backends[request.account][request.partition].buckets.get(bucket)
    policy = ResourcePolicy(json.loads(found.policy)) if found is not None and found.policy else None
    for resource in resources:
        yield Call(f"s3:{action}", resource, context), policy
    source = request.headers.get("x-amz-copy-source")
    if source is not None:
        yield (
            Call("s3:GetObject", f"arn:{request.partition}:s3:::{unquote(source).lstrip('/')}", context),
            None,
        )
    for kms_action in _KEY_USE.get(action, ()):
        if found is not None and (key_id := _bucket_key(found.encryption)):
            via = context | {"kms:viaservice": f"s3.{request.region}.amazonaws.com"}
            yield from _of_key(request, kms_action, key_id, via)


# By action, what an object under a key needs; a part of an upload needs both, its data key is read again.
_KEY_USE = {
    "GetObject": ("Decrypt",),
    "GetObjectVersion": ("Decrypt",),
    "PutObject": ("GenerateDataKey", "Decrypt"),
}


def _bucket_key(encryption: Mapping[str, Json] | None) -> str | None:
    """The key that new objects of a bucket are under, if it is one of KMS."""
    rule = (encryption or {}).get("Rule", {})
    key: str | None = rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID")
    return key


def _deleted(request: ApiRequest) -> list[str]:
    """The keys that a request for the deletion of many names."""
    if request.action != "DeleteObject" or not request.body:
        return []
    return [each.text or "" for each in ElementTree.fromstring(request.body).iterfind("{*}Object/{*}Key")]  # noqa: S314 - of our own clients


def _of_key(
    request: ApiRequest, action: str, key_id: str, context: Mapping[str, str | None]
) -> Iterator[Asked]:
    backend = kms_backends[request.account][request.region]
    name = key_id.removeprefix(request.arn("kms", ""))
    found = backend.keys.get(
        backend.get_key_id_from_alias(name) or "" if name.startswith("alias/") else name.removeprefix("key/")
    )
    resource = request.arn("kms", f"key/{name.removeprefix('key/')}") if found is None else found.arn
    policy = None if found is None else ResourcePolicy(json.loads(found.policy), governs=True)
    yield Call(f"kms:{action}", resource, context), policy


def _key_id(body: Mapping[str, Json]) -> str:
    if "KeyId" in body or "CiphertextBlob" not in body:
        return str(body.get("KeyId", "*"))
    return base64.b64decode(body["CiphertextBlob"])[:_KEY_ID_BYTES].decode(errors="replace")


def _resources(request: ApiRequest) -> list[str]:
    """The ARNs; `*` for an action without a resource, and where moto and this table know of none."""
    if request.service == "lambda":
        name = re.search(r"/functions/([^/]+)", request.path)
        return [_lambda(request, unquote(name[1]))] if name else ["*"]
    if request.service == "sns":  # a form, where the others send JSON
        return parse_qs(request.body.decode()).get("TopicArn", [request.resource])
    if not request.body.startswith(b"{"):
        return [request.resource]
    body = request.json
    for member, resource in _MEMBERS.get(request.service, {}).items():
        if member in body:
            values = body[member] if isinstance(body[member], list) else [body[member]]
            return [resource(request, value) for value in values]
    return [request.resource]


def _lambda(request: ApiRequest, name: str) -> str:
    return name if name.startswith("arn:") else request.arn("lambda", f"function:{name}")


def _secret(request: ApiRequest, name: str) -> str:
    backend = secretsmanager_backends[request.account][request.region]
    found = backend.secrets.get(name)
    return name if found is None else found.arn


def _plain(service: str, kind: str) -> Callable[[ApiRequest, str], str]:
    return lambda request, name: name if name.startswith("arn:") else request.arn(service, f"{kind}{name}")


# Member of the request that names the resource; the first that is there counts.
_MEMBERS: Mapping[str, Mapping[str, Callable[[ApiRequest, str], str]]] = {
    "codebuild": {
        "projectName": _plain("codebuild", "project/"),
        # A build is asked about by its id or its ARN; its project counts.
        "ids": lambda request, name: request.arn(
            "codebuild", f"project/{name.rpartition('build/')[2].partition(':')[0]}"
        ),
    },
    "ecr": {"repositoryName": _plain("ecr", "repository/")},
    "logs": {"logGroupName": lambda request, name: request.arn("logs", f"log-group:{name}:log-stream:any")},
    "sagemaker": {
        "InferenceComponentName": lambda request, name: request.arn(
            "sagemaker", f"inference-component/{name.lower()}"
        ),
        # The names of endpoints are the same in any case, their ARNs are in lower case.
        "EndpointName": lambda request, name: request.arn("sagemaker", f"endpoint/{name.lower()}"),
        "EndpointConfigName": lambda request, name: request.arn(
            "sagemaker", f"endpoint-config/{name.lower()}"
        ),
        "ModelName": lambda request, name: request.arn("sagemaker", f"model/{name.lower()}"),
    },
    "secretsmanager": {"SecretId": _secret},
    "ssm": {
        "Name": lambda request, name: request.arn("ssm", f"parameter/{name.lstrip('/')}"),
        "Names": lambda request, name: request.arn("ssm", f"parameter/{name.lstrip('/')}"),
    },
    "states": {"executionArn": _plain("states", ""), "stateMachineArn": _plain("states", "")},
}
