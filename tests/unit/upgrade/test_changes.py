"""What a deploy did, and which of that loses something."""

from __future__ import annotations

import pytest

from tests.upgrade.changes import Change, Resource, compare
from tests.upgrade.upgrade import Step, Upgrade

BUCKET = Resource("AWS::S3::Bucket", "weights-1", "Models/Bucket")
MODEL = Resource("AWS::SageMaker::Model", "model-1", "chat/Endpoint/Model")
ROLE = Resource("AWS::IAM::Role", "role-1", "chat/Endpoint/Role")


def test_each_resource_has_one_change_and_what_stayed_has_none() -> None:
    before = {"Bucket": BUCKET, "Model": MODEL, "Role": ROLE, "Old": ROLE}
    after = {
        "Bucket": BUCKET,
        "Model": Resource(MODEL.type, "model-2", MODEL.path),
        "Role": ROLE,
        "New": ROLE,
    }
    assert {change.logical_id: change.what for change in compare(before, after, {"Role", "Model"})} == {
        "Model": "replaced",
        "New": "added",
        "Old": "removed",
        "Role": "updated",
    }


def upgraded(change: Change, *, meant: tuple[str, ...] = (), copies: int = 1, sha256: str = "a") -> Upgrade:
    steps = tuple(
        Step(name, "UPDATE_COMPLETE", 1.0, changes, "s3://weights-1/model.tar.gz", digest)
        for name, changes, digest in (("old", (), "a"), ("new", (change,), "b"), ("back", (), sha256))
    )
    return Upgrade("old", steps, meant, copies, same_packages=True)


@pytest.mark.parametrize(
    ("kind", "what", "loses"),
    [
        ("AWS::S3::Bucket", "replaced", True),
        ("AWS::KMS::Key", "removed", True),
        ("AWS::SageMaker::Endpoint", "replaced", True),
        ("AWS::SageMaker::Endpoint", "updated", False),
        ("AWS::SageMaker::Model", "replaced", False),
    ],
)
def test_what_holds_weights_or_a_name_must_stay(kind: str, what: str, loses: bool) -> None:
    done = upgraded(Change("Id", kind, "chat/Thing", what))
    assert done.losses == ([f"new: {kind} chat/Thing is {what}"] if loses else [])


def test_a_loss_that_the_baseline_says_is_meant_is_none() -> None:
    change = Change("Models1", "AWS::S3::Bucket", "Models", "removed")
    assert upgraded(change, meant=("default: AWS::S3::Bucket Models1 is removed",)).losses == []


def test_other_weights_and_a_second_copy_are_losses() -> None:
    change = Change("Role", "AWS::IAM::Role", "Role", "updated")
    assert upgraded(change, sha256="c").losses == ["back: the weights are others than those of old"]
    assert upgraded(change, copies=2).losses == [
        "back: the bucket has 2 versions of s3://weights-1/model.tar.gz"
    ]
