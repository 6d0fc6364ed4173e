"""An upgrade removes or replaces no bucket, key, image repository or endpoint of a stack that is deployed."""

from __future__ import annotations

import copy

import pytest

from tests.stack.baseline import COMMAND, KEPT, Stacks, added, breaks, current, read


@pytest.fixture(scope="module")
def now() -> Stacks:
    return current()


def test_nothing_that_is_kept_is_removed_or_replaced(now: Stacks) -> None:
    found = list(breaks(read(), now))
    assert found == [], f"an update of a deployed stack would lose these; if that is meant: {COMMAND}"


def test_everything_that_is_kept_is_in_the_baseline(now: Stacks) -> None:
    assert added(read(), now) == [], f"new: {COMMAND}"


def test_baseline_has_each_kind_in_each_agency(now: Stacks) -> None:
    for resources in now.values():
        kinds = {resource["type"] for resource in resources.values()}
        assert {"AWS::KMS::Key", "AWS::S3::Bucket", "AWS::SageMaker::Endpoint"} <= kinds <= KEPT


def of(stacks: Stacks, kind: str) -> str:
    """The logical id of one of the default agency's resources."""
    return next(name for name, resource in stacks["default"].items() if resource["type"] == kind)


def test_removal_is_seen(now: Stacks) -> None:
    later = copy.deepcopy(now)
    bucket = of(now, "AWS::S3::Bucket")
    del later["default"][bucket]
    assert list(breaks(now, later)) == [f"default: AWS::S3::Bucket {bucket} is removed"]
    assert added(later, now) == [f"default: AWS::S3::Bucket {bucket}"]


def test_another_name_is_seen_as_a_replacement(now: Stacks) -> None:
    later = copy.deepcopy(now)
    endpoint = of(now, "AWS::SageMaker::Endpoint")
    later["default"][endpoint]["identity"]["EndpointName"] = "renamed"
    (line,) = breaks(now, later)
    assert line == (
        f"default: AWS::SageMaker::Endpoint {endpoint} is replaced: "
        "EndpointName was 'default-smollm2-135m', is 'renamed'"
    )


def test_a_name_where_there_was_none_is_seen(now: Stacks) -> None:
    later = copy.deepcopy(now)
    bucket = of(now, "AWS::S3::Bucket")
    later["default"][bucket]["identity"]["BucketName"] = "mine"
    (line,) = breaks(now, later)
    assert "is replaced: BucketName was None, is 'mine'" in line


def test_a_key_that_would_be_deleted_with_the_stack_is_seen(now: Stacks) -> None:
    later = copy.deepcopy(now)
    key = of(now, "AWS::KMS::Key")
    later["default"][key]["deleted"] = "Delete"
    assert list(breaks(now, later)) == [f"default: AWS::KMS::Key {key}: when deleted, Retain becomes Delete"]
