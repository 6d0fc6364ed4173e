from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest

from quant_llm_tools.local_aws.cloudformation.stack import Resource
from quant_llm_tools.local_aws.resources.request import Request, converted
from quant_llm_tools.local_aws.waiting import ResourceFailed
from tests.unit.local_aws.fake_resources import World, world

Json = Any
Make = Callable[..., Request]


@pytest.fixture
def here() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture
def make(here: World) -> Make:
    def request(properties: dict[str, Json], **more: Json) -> Request:
        return Request(here.cloud, here.stack, Resource("Logical", "T", {}, {}), properties, **more)

    return request


def shape(service: str, operation: str, member: str) -> Any:
    model = botocore.session.get_session().get_service_model(service)
    arguments: Any = model.operation_model(operation).input_shape
    return arguments.members[member]


@pytest.mark.parametrize(
    ("service", "operation", "member", "value", "expected"),
    [
        ("lambda", "CreateFunction", "Timeout", "30", 30),
        ("lambda", "CreateFunction", "Publish", "true", True),
        ("lambda", "CreateFunction", "Environment", {"Variables": {"A": 1, "B": True}}, None),
        ("lambda", "CreateFunction", "Tags", [{"Key": "a", "Value": "b"}], {"a": "b"}),
        ("kms", "CreateKey", "Tags", [{"Key": "a", "Value": "b"}], [{"TagKey": "a", "TagValue": "b"}]),
        ("codebuild", "CreateProject", "tags", [{"Key": "a", "Value": "b"}], [{"key": "a", "value": "b"}]),
        ("ssm", "PutParameter", "Tags", {"a": "b"}, [{"Key": "a", "Value": "b"}]),
        ("iam", "CreateRole", "AssumeRolePolicyDocument", {"Statement": []}, '{"Statement": []}'),
        (
            "codebuild",
            "CreateProject",
            "source",
            {"Type": "S3", "BuildSpec": "x"},
            {"type": "S3", "buildspec": "x"},
        ),
    ],
)
def test_values_become_what_the_api_wants(
    service: str, operation: str, member: str, value: Json, expected: Json
) -> None:
    if expected is None:
        expected = {"Variables": {"A": "1", "B": "true"}}
    assert converted(value, shape(service, operation, member), "p") == expected


def test_a_member_that_the_api_does_not_have_is_an_error_with_its_path() -> None:
    with pytest.raises(ResourceFailed, match=r"does not apply the property T Environment\.Colour"):
        converted({"Colour": 1}, shape("lambda", "CreateFunction", "Environment"), "T Environment")


def test_names_are_given_or_made_of_stack_and_logical_id(make: Make, here: World) -> None:
    assert make({"TopicName": "mine"}).name("TopicName", 256) == "mine"
    assert re.fullmatch(r"test-Logical-[0-9A-Z]{12}", make({}).name("TopicName", 256))
    assert re.fullmatch(r"test-logical-[0-9a-z]{12}", make({}).name("BucketName", 63, lower=True))
    here.stack.name = "a-stack-with-a-name-that-is-much-too-long-for-it"
    generated = make({}).name("RoleName", 40)
    assert len(generated) <= 40
    assert re.fullmatch(r"a-stack-with-a.*-Logical-[0-9A-Z]{12}", generated)


def test_a_replacement_cannot_have_the_old_ones_name(make: Make) -> None:
    with pytest.raises(ResourceFailed, match="Rename mine and update the stack again"):
        make({"TopicName": "mine"}, replaced={"TopicName": "mine"}).name("TopicName", 256)


def test_properties_that_nothing_asked_for_are_not_applied(make: Make) -> None:
    request = make({"A": 1, "B": 2})
    request.properties.get("A")
    assert request.unapplied() == ["B"]


def test_of_an_update_what_stayed_the_same_needs_no_asking_and_what_went_does(make: Make) -> None:
    request = make({"A": 1, "B": 2}, old={"A": 1, "B": 1, "C": 1})
    assert request.unapplied() == ["B", "C"]
    assert request.changed("C")
    assert request.unapplied() == ["B"]
