"""With IAM enforced, the roles of an agency can do what they are for on their own, and nothing on another's.

Each access is tried through the API, with a session of the role. What is allowed on the agency's own side is
the proof that a refusal on the other's is no accident.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.isolation.accesses import ACCESSES, allowed
from tests.integration.isolation.agencies import ACCOUNT, Agency
from tests.integration.isolation.conftest import World

Json = Any

VERSION: Json = {"Version": "2012-10-17"}
KEY = {"decrypt", "make a data key"}
# By the path of the role in the stack: all that it may do of the accesses, on its own agency.
MAY: Mapping[str, set[str]] = {
    "Repack/Function/Role": {
        *KEY,
        "list the bucket",
        "list chat",
        "list draft",
        "list the uploads",
        "read chat",
        "read draft",
        "write a model",
        "upload a model",
        "read a note",
        "write a note",
        "delete a note",
        "start a repack",
    },
    "Repack/Machine/Role": {"invoke the repack"},
    "EndpointWatch/Function/Role": {
        "describe chat",
        "describe draft",
        "read the log of chat",
        "start a watch",
    },
    "EndpointWatch/Machine/Role": {"invoke the watch"},
    "chat/Endpoint/Role": {
        "decrypt",
        "read chat",
        "keep what chat was asked",
        "read the log of chat",
        "pull an image",
    },
    "draft/Endpoint/Role": {"decrypt", "encrypt a volume", "read draft", "list draft"},
    "Image-llamacpp/Build/Role": {*KEY, "encrypt a volume", "pull an image", "push an image"},
    "Image-llamacpp/Image/Starter/Role": {"start a build", "list the images"},
    "Application": {"call chat", "call chat as a stream"},
}


def what_is_allowed(world: World, role: str, agency: Agency) -> set[str]:
    clients = world.acting_as(role)
    return {name for name, access in ACCESSES.items() if allowed(access, clients, agency)}


def test_every_role_of_the_stack_is_told_of_here(world: World) -> None:
    assert set(world.ours.roles) == set(MAY)


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_do_what_it_is_for_and_no_more(world: World, role: str) -> None:
    assert what_is_allowed(world, role, world.ours) == MAY[role]


@pytest.mark.parametrize("role", MAY)
def test_a_role_may_do_nothing_on_the_other_agency(world: World, role: str) -> None:
    assert what_is_allowed(world, role, world.theirs) == set()


@pytest.mark.parametrize("role", MAY)
def test_a_role_can_become_no_other(world: World, role: str) -> None:
    sts = world.acting_as(role)("sts")
    for name in (*world.ours.roles.values(), *world.theirs.roles.values()):
        with pytest.raises(ClientError, match="is not authorized to perform: sts:AssumeRole"):
            sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{name}", RoleSessionName="climb")


@contextmanager
def granted(world: World, role: str, *actions: str, on: str = "*") -> Iterator[None]:
    """The role with one statement too many, as a mistake in a template would give it."""
    iam, name = world.account.client("iam"), world.ours.roles[role]
    statement = {"Effect": "Allow", "Action": actions, "Resource": on}
    iam.put_role_policy(
        RoleName=name, PolicyName="mistake", PolicyDocument=json.dumps(VERSION | {"Statement": [statement]})
    )
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="mistake")


@pytest.mark.parametrize(
    ("action", "access"),
    [
        ("s3:ListBucket", "list the bucket"),
        ("s3:DeleteObject", "delete a note"),
        ("kms:Decrypt", "decrypt"),
        ("kms:GenerateDataKey", "make a data key"),
        ("sagemaker:InvokeEndpoint", "call chat"),
        ("states:StartExecution", "start a repack"),
        ("lambda:InvokeFunction", "invoke the repack"),
        ("codebuild:StartBuild", "start a build"),
        ("ecr:BatchGetImage", "pull an image"),
    ],
)
def test_a_policy_that_is_too_wide_is_seen(world: World, action: str, access: str) -> None:
    clients = world.acting_as("Repack/Function/Role")
    assert not allowed(ACCESSES[access], clients, world.theirs)
    with granted(world, "Repack/Function/Role", action):
        assert allowed(ACCESSES[access], clients, world.theirs)


def test_the_weights_are_behind_two_locks_the_bucket_and_the_key(world: World) -> None:
    clients = world.acting_as("chat/Endpoint/Role")
    read = ACCESSES["read chat"]
    with granted(world, "chat/Endpoint/Role", "s3:GetObject"):
        with pytest.raises(ClientError, match="is not authorized to perform: kms:Decrypt"):
            read(clients, world.theirs)
        with granted_key(world, world.theirs):
            assert allowed(read, clients, world.theirs)
    refused = pytest.raises(ClientError, match="is not authorized to perform: s3:GetObject")
    with granted(world, "chat/Endpoint/Role", "kms:Decrypt"), refused:
        read(clients, world.theirs)


@contextmanager
def granted_key(world: World, agency: Agency) -> Iterator[None]:
    """The agency's key open to the roles of the whole account, by its own policy."""
    kms = world.account.client("kms")
    before = kms.get_key_policy(KeyId=agency.key_arn, PolicyName="default")["Policy"]
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:Decrypt", "Resource": "*"}
    policy = json.loads(before)
    policy["Statement"].append(statement)
    kms.put_key_policy(KeyId=agency.key_arn, PolicyName="default", Policy=json.dumps(policy))
    try:
        yield
    finally:
        kms.put_key_policy(KeyId=agency.key_arn, PolicyName="default", Policy=before)


def test_a_key_that_does_not_trust_its_account_is_closed_to_its_own_roles(world: World) -> None:
    kms = world.account.client("kms")
    before = kms.get_key_policy(KeyId=world.ours.key_arn, PolicyName="default")["Policy"]
    clients = world.acting_as("Repack/Function/Role")
    policy = json.loads(before)
    policy["Statement"][0]["Principal"] = {"AWS": f"arn:aws:iam::{ACCOUNT}:role/nobody"}
    kms.put_key_policy(KeyId=world.ours.key_arn, PolicyName="default", Policy=json.dumps(policy))
    try:
        assert not allowed(ACCESSES["decrypt"], clients, world.ours)
        assert not allowed(ACCESSES["read chat"], clients, world.ours)
    finally:
        kms.put_key_policy(KeyId=world.ours.key_arn, PolicyName="default", Policy=before)
    assert allowed(ACCESSES["decrypt"], clients, world.ours)


def test_a_bucket_policy_that_is_open_is_seen(world: World) -> None:
    s3, bucket = world.account.client("s3"), world.theirs.bucket
    before = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    policy = json.loads(before)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:ListBucket",
        "Resource": f"arn:aws:s3:::{bucket}",
    }
    policy["Statement"].append(statement)
    clients = world.acting_as("chat/Endpoint/Role")
    assert not allowed(ACCESSES["list the bucket"], clients, world.theirs)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    try:
        assert allowed(ACCESSES["list the bucket"], clients, world.theirs)
    finally:
        s3.put_bucket_policy(Bucket=bucket, Policy=before)


def test_a_boundary_that_leaves_nothing_closes_a_role(world: World) -> None:
    iam, name = world.account.client("iam"), world.ours.roles["chat/Endpoint/Role"]
    document = VERSION | {"Statement": [{"Effect": "Allow", "Action": "xray:*", "Resource": "*"}]}
    arn = iam.create_policy(PolicyName="boundary", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=arn)
    try:
        assert what_is_allowed(world, "chat/Endpoint/Role", world.ours) == set()
    finally:
        iam.delete_role_permissions_boundary(RoleName=name)
