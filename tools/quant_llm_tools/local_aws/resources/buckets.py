"""S3 buckets and their policies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from quant_llm_tools.local_aws.resources.request import Request, converted

Json = Any


class Bucket:
    """AWS::S3::Bucket: created bare, then each property put by the operation that it belongs to."""

    def create(self, request: Request) -> None:
        """Create and configure the bucket."""
        client = request.client("s3")
        name = request.name("BucketName", 63, lower=True)
        location = {}
        if request.stack.region != "us-east-1":
            location = {"CreateBucketConfiguration": {"LocationConstraint": request.stack.region}}
        request.send(client.create_bucket, Bucket=name, **location)
        request.identify(name)
        self._configure(request)
        region, suffix = request.stack.region, request.stack.pseudo_parameters()["AWS::URLSuffix"]
        request.attributes = {
            "Arn": f"arn:{request.stack.partition}:s3:::{name}",
            "DomainName": f"{name}.s3.{suffix}",
            "DualStackDomainName": f"{name}.s3.dualstack.{region}.{suffix}",
            "RegionalDomainName": f"{name}.s3.{region}.{suffix}",
            "WebsiteURL": f"http://{name}.s3-website-{region}.{suffix}",
        }

    def update(self, request: Request) -> None:
        """Put what changed and take away what is gone."""
        self._configure(request)

    def delete(self, request: Request) -> None:
        """Delete the bucket; S3 refuses if it is not empty."""
        request.send(request.client("s3").delete_bucket, Bucket=request.physical_id)

    def _configure(self, request: Request) -> None:
        client = request.client("s3")
        if request.changed("AccessControl"):
            # `BucketOwnerFullControl` in the template, `bucket-owner-full-control` in the API.
            canned = re.sub(
                r"(?<=[a-z])(?=[A-Z])", "-", request.properties.get("AccessControl", "Private")
            ).lower()
            request.send(client.put_bucket_acl, Bucket=request.physical_id, ACL=canned)
        for name, (suffix, member, translate) in _CONFIGURATIONS.items():
            if not request.changed(name):
                continue
            if name in request.properties:
                operation = f"put_{suffix}"
                model = client.meta.service_model.operation_model(
                    client.meta.method_to_api_mapping[operation]
                )
                configuration = converted(
                    translate(request.properties[name]),
                    model.input_shape.members[member],
                    f"{request.type} {name}",
                )
                request.send(
                    getattr(client, operation), Bucket=request.physical_id, **{member: configuration}
                )
            elif name == "VersioningConfiguration":  # can be suspended, never removed
                suspended = {"Status": "Suspended"}
                request.send(
                    client.put_bucket_versioning,
                    Bucket=request.physical_id,
                    VersioningConfiguration=suspended,
                )
            else:
                delete = _DELETIONS.get(name, f"delete_{suffix}")
                request.send(getattr(client, delete), Bucket=request.physical_id)


def _encryption(value: Json) -> Json:
    rules = []
    for rule in value["ServerSideEncryptionConfiguration"]:
        rest = {key: member for key, member in rule.items() if key != "ServerSideEncryptionByDefault"}
        rules.append(rest | {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]})
    return {"Rules": rules}


def _lifecycle(value: Json) -> Json:
    return {"Rules": [_lifecycle_rule(dict(rule)) for rule in value["Rules"]]}


def _lifecycle_rule(rule: dict[str, Json]) -> dict[str, Json]:
    """CloudFormation's flat rule in the form of the API, which wants a filter and nested expirations."""
    expiration = {
        api: rule.pop(name)
        for name, api in (
            ("ExpirationInDays", "Days"),
            ("ExpirationDate", "Date"),
            ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"),
        )
        if name in rule
    }
    if expiration:
        rule["Expiration"] = expiration
    if "NoncurrentVersionExpirationInDays" in rule:
        days = rule.pop("NoncurrentVersionExpirationInDays")
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    for transition in ("Transitions", "NoncurrentVersionTransitions"):
        if transition in rule:
            days = "Days" if transition == "Transitions" else "NoncurrentDays"
            rule[transition] = [
                {days if key == "TransitionInDays" else key: member for key, member in entry.items()}
                for entry in rule[transition]
            ]
    rule["Filter"] = {"Prefix": rule.pop("Prefix", "")}
    return rule


def _tagging(value: Json) -> Json:
    return {"TagSet": value}


def _as_it_is(value: Json) -> Json:
    return value


# Property -> the operation after `put_`, its argument, and how the one becomes the other.
_CONFIGURATIONS: dict[str, tuple[str, str, Callable[[Json], Json]]] = {
    "BucketEncryption": ("bucket_encryption", "ServerSideEncryptionConfiguration", _encryption),
    "LifecycleConfiguration": ("bucket_lifecycle_configuration", "LifecycleConfiguration", _lifecycle),
    "OwnershipControls": ("bucket_ownership_controls", "OwnershipControls", _as_it_is),
    "PublicAccessBlockConfiguration": ("public_access_block", "PublicAccessBlockConfiguration", _as_it_is),
    "Tags": ("bucket_tagging", "Tagging", _tagging),
    "VersioningConfiguration": ("bucket_versioning", "VersioningConfiguration", _as_it_is),
}
# The one whose removal is named after the thing and not after its configuration.
_DELETIONS = {"LifecycleConfiguration": "delete_bucket_lifecycle"}


class BucketPolicy:
    """AWS::S3::BucketPolicy."""

    def create(self, request: Request) -> None:
        """Put the policy on the bucket."""
        bucket = request.properties["Bucket"]
        request.call("s3.put_bucket_policy", Policy=_document(request))
        request.identify(bucket)

    def update(self, request: Request) -> None:
        """Put the new policy over the old one."""
        request.call("s3.put_bucket_policy", Policy=_document(request))

    def delete(self, request: Request) -> None:
        """Take the policy off."""
        request.send(request.client("s3").delete_bucket_policy, Bucket=request.physical_id)


def _document(request: Request) -> str:
    return json.dumps(request.properties["PolicyDocument"])
