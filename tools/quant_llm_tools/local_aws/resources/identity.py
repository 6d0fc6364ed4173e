"""IAM roles and policies, KMS keys and aliases."""

from __future__ import annotations

import json
from typing import Any

from quant_llm_tools.local_aws.resources.request import Request, ServiceRefused

Json = Any


class IamRole:
    """AWS::IAM::Role with its inline and attached policies."""

    def create(self, request: Request) -> None:
        """Create the role, then give it its policies."""
        name = request.name("RoleName", 64)
        role = request.call("iam.create_role", RoleName=name)["Role"]
        request.identify(name)
        self._policies(request)
        request.attributes = {"Arn": role["Arn"], "RoleId": role["RoleId"]}

    def update(self, request: Request) -> None:
        """Change what IAM lets change; name and path are replaced by CloudFormation."""
        client, name = request.client("iam"), request.physical_id
        if request.changed("AssumeRolePolicyDocument"):
            document = json.dumps(request.properties["AssumeRolePolicyDocument"])
            request.send(client.update_assume_role_policy, RoleName=name, PolicyDocument=document)
        if request.changed("Description") | request.changed("MaxSessionDuration"):
            request.call(
                "iam.update_role",
                RoleName=name,
                Description=request.properties.get("Description", ""),
                MaxSessionDuration=int(request.properties.get("MaxSessionDuration", 3600)),
            )
        if request.changed("PermissionsBoundary"):
            if "PermissionsBoundary" in request.properties:
                request.call("iam.put_role_permissions_boundary", RoleName=name)
            else:
                request.send(client.delete_role_permissions_boundary, RoleName=name)
        if request.changed("Tags"):
            keys = [tag["Key"] for tag in request.old.get("Tags", [])]
            request.send(client.untag_role, RoleName=name, TagKeys=keys)
            request.call("iam.tag_role", RoleName=name, Tags=request.properties.get("Tags", []))
        self._policies(request)

    def delete(self, request: Request) -> None:
        """Take its policies away, then delete the role."""
        client, name = request.client("iam"), request.physical_id
        for arn in request.properties.get("ManagedPolicyArns", []):
            _unless_gone(request, "detach_role_policy", RoleName=name, PolicyArn=arn)
        for policy in request.properties.get("Policies", []):
            _unless_gone(request, "delete_role_policy", RoleName=name, PolicyName=policy["PolicyName"])
        request.send(client.delete_role, RoleName=name)

    @staticmethod
    def _policies(request: Request) -> None:
        client, name = request.client("iam"), request.physical_id
        wanted, before = (
            request.properties.get("ManagedPolicyArns", []),
            request.old.get("ManagedPolicyArns", []),
        )
        for arn in [arn for arn in wanted if arn not in before]:
            request.send(client.attach_role_policy, RoleName=name, PolicyArn=arn)
        for arn in [arn for arn in before if arn not in wanted]:
            _unless_gone(request, "detach_role_policy", RoleName=name, PolicyArn=arn)
        inline = {
            policy["PolicyName"]: policy["PolicyDocument"]
            for policy in request.properties.get("Policies", [])
        }
        for policy, document in inline.items():
            request.send(
                client.put_role_policy, RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document)
            )
        for policy in [policy["PolicyName"] for policy in request.old.get("Policies", [])]:
            if policy not in inline:
                _unless_gone(request, "delete_role_policy", RoleName=name, PolicyName=policy)


class IamPolicy:
    """AWS::IAM::Policy: one inline policy on any number of roles."""

    def create(self, request: Request) -> None:
        """Put the policy on each role."""
        request.identify(request.name("", 128))
        self._put(request)

    def update(self, request: Request) -> None:
        """Put it on the roles that it is for now, and take it off those that it was for before."""
        self._put(request)
        before, now = request.old["PolicyName"], request.properties["PolicyName"]
        for role in request.old.get("Roles", []):
            if before != now or role not in request.properties.get("Roles", []):
                _unless_gone(request, "delete_role_policy", RoleName=role, PolicyName=before)

    def delete(self, request: Request) -> None:
        """Take it off every role."""
        for role in request.properties.get("Roles", []):
            name = request.properties["PolicyName"]
            _unless_gone(request, "delete_role_policy", RoleName=role, PolicyName=name)

    @staticmethod
    def _put(request: Request) -> None:
        client, document = request.client("iam"), json.dumps(request.properties["PolicyDocument"])
        for role in request.properties.get("Roles", []):
            name = request.properties["PolicyName"]
            request.send(client.put_role_policy, RoleName=role, PolicyName=name, PolicyDocument=document)


class IamManagedPolicy:
    """AWS::IAM::ManagedPolicy, attached to roles."""

    def create(self, request: Request) -> None:
        """Create the policy and attach it."""
        name = request.name("ManagedPolicyName", 128)
        document = json.dumps(request.properties["PolicyDocument"])
        policy = request.call("iam.create_policy", PolicyName=name, PolicyDocument=document)["Policy"]
        request.identify(policy["Arn"])
        self._attach(request)
        request.attributes = {"PolicyArn": policy["Arn"], "PolicyId": policy["PolicyId"]}

    def update(self, request: Request) -> None:
        """Make the new document the policy's one version."""
        client, arn = request.client("iam"), request.physical_id
        if request.changed("PolicyDocument"):
            old = request.send(client.get_policy, PolicyArn=arn)["Policy"]["DefaultVersionId"]
            document = json.dumps(request.properties["PolicyDocument"])
            request.send(
                client.create_policy_version, PolicyArn=arn, PolicyDocument=document, SetAsDefault=True
            )
            request.send(client.delete_policy_version, PolicyArn=arn, VersionId=old)
        self._attach(request)
        for role in request.old.get("Roles", []):
            if role not in request.properties.get("Roles", []):
                _unless_gone(request, "detach_role_policy", RoleName=role, PolicyArn=arn)

    def delete(self, request: Request) -> None:
        """Detach and delete the policy."""
        arn = request.physical_id
        for role in request.properties.get("Roles", []):
            _unless_gone(request, "detach_role_policy", RoleName=role, PolicyArn=arn)
        request.send(request.client("iam").delete_policy, PolicyArn=arn)

    @staticmethod
    def _attach(request: Request) -> None:
        for role in request.properties.get("Roles", []):
            request.send(
                request.client("iam").attach_role_policy, RoleName=role, PolicyArn=request.physical_id
            )


def _unless_gone(request: Request, method: str, **arguments: str) -> None:
    """Undo an attachment that may be undone already: the role may have been removed before its policies."""
    try:
        request.send(getattr(request.client("iam"), method), **arguments)
    except ServiceRefused as refused:
        if not refused.not_found:
            raise


class KmsKey:
    """AWS::KMS::Key."""

    def create(self, request: Request) -> None:
        """Create the key, with rotation if wanted."""
        policy: dict[str, Json] = {}
        if "KeyPolicy" in request.properties:
            policy["Policy"] = json.dumps(request.properties["KeyPolicy"])
        key = request.call("kms.create_key", **policy)["KeyMetadata"]
        request.identify(key["KeyId"])
        request.attributes = {"Arn": key["Arn"], "KeyId": key["KeyId"]}
        self._rotate(request)
        request.properties.get("PendingWindowInDays")

    def update(self, request: Request) -> None:
        """Change policy, description, rotation and tags."""
        client, key = request.client("kms"), request.physical_id
        if request.changed("KeyPolicy"):
            policy = json.dumps(request.properties["KeyPolicy"])
            request.send(client.put_key_policy, KeyId=key, PolicyName="default", Policy=policy)
        if request.changed("Description"):
            description = request.properties.get("Description", "")
            request.send(client.update_key_description, KeyId=key, Description=description)
        if request.changed("Tags"):
            request.send(
                client.untag_resource, KeyId=key, TagKeys=[tag["Key"] for tag in request.old.get("Tags", [])]
            )
            request.call("kms.tag_resource", KeyId=key)
        if request.changed("EnableKeyRotation"):
            self._rotate(request)
        request.properties.get("PendingWindowInDays")

    def delete(self, request: Request) -> None:
        """Schedule the deletion, as KMS does it."""
        days = int(request.properties.get("PendingWindowInDays", 30))
        client = request.client("kms")
        request.send(client.schedule_key_deletion, KeyId=request.physical_id, PendingWindowInDays=days)

    @staticmethod
    def _rotate(request: Request) -> None:
        client = request.client("kms")
        wanted = str(request.properties.get("EnableKeyRotation", False)).lower() == "true"
        switch = client.enable_key_rotation if wanted else client.disable_key_rotation
        request.send(switch, KeyId=request.physical_id)


class KmsAlias:
    """AWS::KMS::Alias."""

    def create(self, request: Request) -> None:
        """Create the alias."""
        request.call("kms.create_alias")
        request.identify(request.properties["AliasName"])

    def update(self, request: Request) -> None:
        """Point it at another key."""
        request.call("kms.update_alias")

    def delete(self, request: Request) -> None:
        """Delete the alias."""
        request.send(request.client("kms").delete_alias, AliasName=request.physical_id)
