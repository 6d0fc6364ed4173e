"""Each protection that goes is told of, and one that comes is not."""

from __future__ import annotations

from typing import Any

import pytest

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.protection import protection
from tests.unit.review.templates import STACK, edited, endpoint_template, resource

BEFORE = edited(
    endpoint_template(),
    {
        "Bucket.Properties.PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        "Bucket.Properties.BucketEncryption": {"ServerSideEncryptionConfiguration": [{"a": "aws:kms"}]},
        "Bucket.Properties.OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "Model.Properties.EnableNetworkIsolation": True,
        "Model.Properties.VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
        "Configuration.Properties.KmsKeyId": {"Fn::GetAtt": ["Key", "Arn"]},
        "Repository": resource(
            "AWS::ECR::Repository",
            "Image-llamacpp/Resource/Resource",
            {
                "ImageTagMutability": "IMMUTABLE",
                "ImageScanningConfiguration": {"ScanOnPush": True},
                "EncryptionConfiguration": {"EncryptionType": "KMS"},
            },
        ),
        "Topic": resource("AWS::SNS::Topic", "Topic", {"KmsMasterKeyId": {"Ref": "Key"}}),
        "Logs": resource("AWS::Logs::LogGroup", "Logs", {"KmsKeyId": "k"}),
        "Function": resource("AWS::Lambda::Function", "Function", {"KmsKeyArn": "k", "VpcConfig": {"a": 1}}),
        "Project": resource(
            "AWS::CodeBuild::Project",
            "Build",
            {"EncryptionKey": "k", "Environment": {"PrivilegedMode": False}},
        ),
    },
)
BLOCK = "Bucket.Properties.PublicAccessBlockConfiguration"


def summaries(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    comparison = Comparison(STACK, StackSide(before), StackSide(after), effects={})
    found = list(protection(comparison))
    assert {one.change_class.value for one in found} <= {"protection-weakened"}
    return [one.summary for one in found]


@pytest.mark.parametrize(
    ("edits", "summary"),
    [
        (
            {f"{BLOCK}.BlockPublicAcls": False},
            "public access to the bucket is no longer blocked (BlockPublicAcls)",
        ),
        (
            {f"{BLOCK}.BlockPublicPolicy": None},
            "public access to the bucket is no longer blocked (BlockPublicPolicy)",
        ),
        (
            {f"{BLOCK}.IgnorePublicAcls": False},
            "public access to the bucket is no longer blocked (IgnorePublicAcls)",
        ),
        (
            {f"{BLOCK}.RestrictPublicBuckets": False},
            "public access to the bucket is no longer blocked (RestrictPublicBuckets)",
        ),
        ({"Bucket.Properties.BucketEncryption": None}, "another encryption of the bucket"),
        ({"Bucket.Properties.VersioningConfiguration": None}, "the bucket no longer keeps versions"),
        ({"Bucket.Properties.OwnershipControls": None}, "access control lists can give"),
        ({"Bucket.DeletionPolicy": "Delete"}, "the bucket is deleted when the stack goes"),
        ({"Bucket.UpdateReplacePolicy": None}, "the bucket is deleted when it is replaced"),
        ({"Key.DeletionPolicy": None}, "the key is deleted when the stack goes"),
        ({"Key.Properties.EnableKeyRotation": False}, "the key is no longer rotated"),
        ({"Repository.Properties.ImageTagMutability": "MUTABLE"}, "image tags can be moved"),
        ({"Repository.Properties.ImageScanningConfiguration": None}, "images are no longer scanned"),
        ({"Repository.Properties.EncryptionConfiguration": None}, "another encryption"),
        ({"Model.Properties.EnableNetworkIsolation": None}, "no longer isolated from the network"),
        ({"Model.Properties.VpcConfig": None}, "the container leaves the agency's VPC"),
        ({"Model.Properties.VpcConfig.SecurityGroupIds": ["sg-2"]}, "other security groups"),
        (
            {
                "Configuration.Properties.KmsKeyId": None,
                "Configuration.Properties.ProductionVariants": [{"InstanceType": "ml.c5.xlarge"}],
            },
            "volume is no longer encrypted",
        ),
        ({"Topic.Properties.KmsMasterKeyId": None}, "the topic is no longer encrypted"),
        ({"Logs.Properties.KmsKeyId": None}, "the log group has no key"),
        ({"Function.Properties.KmsKeyArn": None}, "the function has no key"),
        ({"Function.Properties.VpcConfig": None}, "the function leaves the VPC"),
        ({"Project.Properties.EncryptionKey": None}, "the build has no key"),
        ({"Project.Properties.Environment.PrivilegedMode": True}, "builds run privileged"),
        (
            {"Configuration.Properties.DataCaptureConfig": {"InitialSamplingPercentage": 5}},
            "more of what callers ask",
        ),
    ],
)
def test_a_protection_that_goes_is_told_of_and_its_return_is_not(edits: dict[str, Any], summary: str) -> None:
    after = edited(BEFORE, edits)
    (said,) = summaries(BEFORE, after)
    assert summary in said
    # Security groups and encryption are told of whichever way: the template can't tell the weaker.
    assert [one for one in summaries(after, BEFORE) if "other" not in one] == []


def test_a_volume_without_a_key_on_instances_that_encrypt_their_own_disks_is_not_weaker() -> None:
    edits = {
        "Configuration.Properties.KmsKeyId": None,
        "Configuration.Properties.ProductionVariants": [{"InstanceType": "ml.g5.xlarge"}],
    }
    assert summaries(BEFORE, edited(BEFORE, edits)) == []


def test_an_opening_to_the_internet_is_told_of_where_it_is_new() -> None:
    def group(*addresses: str) -> dict[str, Any]:
        rules = [{"CidrIp": address, "IpProtocol": "tcp"} for address in addresses]
        return edited(
            BEFORE, {"Group": resource("AWS::EC2::SecurityGroup", "Group", {"SecurityGroupIngress": rules})}
        )

    assert summaries(BEFORE, group("10.0.0.0/8")) == []
    assert summaries(group("10.0.0.0/8"), group("0.0.0.0/0")) == ["open to every address of the Internet"]
    assert summaries(group("0.0.0.0/0"), group("0.0.0.0/0")) == []
    rule = resource("AWS::EC2::SecurityGroupIngress", "Rule", {"CidrIpv6": "::/0"})
    assert summaries(BEFORE, edited(BEFORE, {"Rule": rule})) == ["open to every address of the Internet"]
