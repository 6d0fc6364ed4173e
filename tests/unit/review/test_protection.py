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
        ({"Bucket.Properties.AccessControl": "PublicRead"}, "another access control list"),
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


OPEN = "open to every address of the Internet"


@pytest.mark.parametrize(
    ("addresses", "summary"),
    [
        ("10.0.0.0/8", []),
        ("fd00::/8", []),
        ({"Fn::GetAtt": ["Vpc", "CidrBlock"]}, []),
        ("0.0.0.0/0", [OPEN]),
        ("0::/0", [OPEN]),
        ({"Fn::Join": ["", ["0.0.0.", "0/0"]]}, [OPEN]),
        ("128.0.0.0/1", ["open to addresses (128.0.0.0/1) of the Internet"]),
        ("203.0.114.7/32", ["open to addresses (203.0.114.7/32) of the Internet"]),
    ],
)
def test_an_opening_to_the_internet_is_told_of_where_it_is_new(addresses: Any, summary: list[str]) -> None:
    def group(cidr: Any, *, choice: bool = False) -> dict[str, Any]:
        name = "CidrIpv6" if "::" in str(cidr) and isinstance(cidr, str) else "CidrIp"
        rules: Any = [{name: cidr, "IpProtocol": "tcp"}]
        if choice:
            rules = {"Fn::If": ["Yes", rules, {"Ref": "AWS::NoValue"}]}
        properties = {"SecurityGroupIngress": rules, "SecurityGroupEgress": [{"CidrIp": "0.0.0.0/0"}]}
        return edited(BEFORE, {"Group": resource("AWS::EC2::SecurityGroup", "Group", properties)})

    assert summaries(BEFORE, group(addresses)) == summary
    assert summaries(BEFORE, group(addresses, choice=True)) == summary
    assert summaries(group("10.0.0.0/8"), group(addresses)) == summary
    assert summaries(group(addresses), group(addresses)) == []
    rule = resource("AWS::EC2::SecurityGroupIngress", "Rule", {"CidrIp": addresses})
    assert summaries(BEFORE, edited(BEFORE, {"Rule": rule})) == summary


@pytest.mark.parametrize(
    ("kind", "properties", "summary"),
    [
        (
            "AWS::SageMaker::Model",
            {"VpcConfig": {"SecurityGroupIds": ["sg"]}},
            "no longer isolated from the network",
        ),
        ("AWS::SNS::Topic", {}, "the topic is no longer encrypted"),
        (
            "AWS::CodeBuild::Project",
            {"EncryptionKey": "k2", "Environment": {"PrivilegedMode": True}},
            "privi",
        ),
    ],
)
def test_what_is_new_without_a_protection_that_all_others_had_is_told_of(
    kind: str, properties: dict[str, Any], summary: str
) -> None:
    after = edited(BEFORE, {"New": resource(kind, "New", properties)})
    (said,) = summaries(BEFORE, after)
    assert said.startswith("new, and unlike the others: ")
    assert summary in said
    assert summaries(after, after) == []


@pytest.mark.parametrize("name", ["EnableNetworkIsolation", "VpcConfig"])
def test_isolation_and_network_of_a_configuration_matter_where_its_variants_name_no_model(name: str) -> None:
    component = {
        f"Configuration.Properties.{name}": {"a": 1} if name == "VpcConfig" else True,
        "Configuration.Properties.ProductionVariants": [{"InstanceType": "ml.g5.xlarge"}],
    }
    before = edited(BEFORE, component)
    assert len(summaries(before, edited(before, {f"Configuration.Properties.{name}": None}))) == 1
    assert summaries(before, BEFORE) == []


def test_a_new_bucket_without_its_protections_is_told_of_and_one_like_the_others_is_not() -> None:
    after = edited(BEFORE, {"New": resource("AWS::S3::Bucket", "New", {})})
    assert len(summaries(BEFORE, after)) == 7  # public access four times, encryption, versions, lists
    like = {**BEFORE["Resources"]["Bucket"], "Metadata": {"aws:cdk:path": f"{STACK}/New"}}
    like["Properties"] = {**like["Properties"], "BucketEncryption": {"its": "own key"}}
    assert summaries(BEFORE, edited(BEFORE, {"New": like})) == []


def test_an_alarm_that_takes_updates_back_no_longer_is_told_of() -> None:
    def alarms(*names: str) -> dict[str, Any]:
        found = [{"AlarmName": {"Ref": name}} for name in names]
        config = {"AutoRollbackConfiguration": {"Alarms": found}} if found else None
        return edited(BEFORE, {"Endpoint.Properties.DeploymentConfig": config})

    assert summaries(alarms("Errors"), alarms("Errors", "Latency")) == []
    gone = "a bad update is no longer taken back by"
    assert summaries(alarms("Errors", "Latency"), alarms("Errors")) == [f"{gone} Latency"]
    assert summaries(alarms("Errors"), alarms("Other")) == [f"{gone} Errors"]
    assert summaries(alarms("Errors"), alarms()) == ["no alarm takes a bad update back any more"]


@pytest.mark.parametrize(("waits", "is_told"), [(600, True), (0, False)])
def test_a_deployment_without_an_alarm_is_told_of_once_and_its_waits_not_passed_over(
    waits: int, *, is_told: bool
) -> None:
    def deployment(seconds: int, *names: str) -> StackSide:
        found = {
            "BlueGreenUpdatePolicy": {"TerminationWaitInSeconds": seconds},
            "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in names]},
        }
        return StackSide(edited(BEFORE, {"Endpoint.Properties.DeploymentConfig": found}))

    comparison = Comparison(STACK, deployment(600, "a", "b"), deployment(waits, "a"), effects={})
    assert len(list(protection(comparison))) == 1
    assert comparison.is_explained("Endpoint", "DeploymentConfig") is is_told


CAPTURE = {"InitialSamplingPercentage": 5, "DestinationS3Uri": "s3://ours", "KmsKeyId": "k"}
ASYNC = {"OutputConfig": {"S3OutputPath": "s3://ours", "KmsKeyId": "k"}}


@pytest.mark.parametrize(
    ("edits", "summary"),
    [
        ({"DataCaptureConfig.DestinationS3Uri": "s3://x"}, "is kept in another place"),
        ({"DataCaptureConfig.KmsKeyId": None}, "is kept without the agency's key"),
        ({"AsyncInferenceConfig.OutputConfig.S3OutputPath": "s3://x"}, "are written to another place"),
        ({"AsyncInferenceConfig.OutputConfig.KmsKeyId": None}, "are written without the agency's key"),
        ({"KmsKeyId": "k2"}, "another key encrypts the endpoint's volume"),
    ],
)
def test_where_prompts_and_answers_lie_is_told_of(edits: dict[str, Any], summary: str) -> None:
    data = {"DataCaptureConfig": CAPTURE, "AsyncInferenceConfig": ASYNC}
    before = edited(BEFORE, {f"Configuration.Properties.{name}": value for name, value in data.items()})
    changed = {f"Configuration.Properties.{path}": value for path, value in edits.items()}
    (said,) = summaries(before, edited(before, changed))
    assert summary in said
    without = {f"Configuration.Properties.{name}": None for name in data}
    assert summaries(before, edited(before, without)) == []


def test_copies_to_another_bucket_and_another_key_of_a_topic_are_told_of() -> None:
    edits = {
        "Bucket.Properties.ReplicationConfiguration": {"Rules": []},
        "Topic.Properties.KmsMasterKeyId": "alias/aws/sns",
    }
    assert summaries(BEFORE, edited(BEFORE, edits)) == [
        "the bucket's objects are copied to another bucket",
        "another key encrypts the topic",
    ]
