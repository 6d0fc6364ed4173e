from __future__ import annotations

import pytest

from quant_llm_tools.local_aws.cloudformation.schemas import create_only, replaces, tags_form


@pytest.mark.parametrize(
    ("resource_type", "old", "new", "expected"),
    [
        ("AWS::SageMaker::EndpointConfig", {"ProductionVariants": [1]}, {"ProductionVariants": [2]}, True),
        ("AWS::SageMaker::Endpoint", {"EndpointConfigName": "a"}, {"EndpointConfigName": "b"}, False),
        ("AWS::SageMaker::Endpoint", {"EndpointName": "a"}, {"EndpointName": "b"}, True),
        ("AWS::Lambda::Function", {"Code": {"S3Key": "a"}}, {"Code": {"S3Key": "b"}}, False),
        ("AWS::IAM::Role", {"Path": "/a/"}, {}, True),
        # Custom resources decide themselves, by the id that they answer with.
        ("Custom::ModelArtifact", {"Key": "a"}, {"Key": "b"}, False),
        ("AWS::CloudFormation::CustomResource", {"ServiceToken": "a"}, {"ServiceToken": "b"}, False),
    ],
)
def test_what_replaces_a_resource(resource_type: str, old: dict, new: dict, expected: bool) -> None:  # type: ignore[type-arg]  # whatever the type's properties are
    assert replaces(resource_type, old, new) is expected


def test_nested_properties_count_by_their_top_level_one() -> None:
    assert "EncryptionConfiguration" in create_only("AWS::ECR::Repository")


def test_types_take_tags_as_a_list_as_a_map_or_not_at_all() -> None:
    assert tags_form("AWS::S3::Bucket") == "list"
    assert tags_form("AWS::SSM::Parameter") == "map"
    assert tags_form("AWS::S3::BucketPolicy") is None
    assert tags_form("Custom::Anything") is None
