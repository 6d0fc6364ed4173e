"""The protections of a resource by a property, and when a value of it is weaker than another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from quant_llm_tools.review.classify.comparison import ENDPOINT_CONFIG, MODEL

EXPOSED: Final = "What was private can be reached by people who were never meant to."
READABLE: Final = "Whoever gets at the storage can read what is on it, or read it with another key."
_OPEN: Final = "The container can be reached, or can reach out, over the network."
LOST: Final = "It protects from loss: of weights, of images, of the way back."


@dataclass(frozen=True)
class Rule:
    """A property of a type, when its values are weaker than before, and what that means."""

    resource_type: str
    path: tuple[str, ...]
    is_weaker: Callable[[Any, Any], bool]
    summary: str
    why: str


def _no_longer(good: Any) -> Callable[[Any, Any], bool]:
    return lambda before, after: before == good and after != good


def _becomes(bad: Any) -> Callable[[Any, Any], bool]:
    return lambda before, after: before != bad and after == bad


def _goes(before: Any, after: Any) -> bool:
    return before is not None and after is None


def differs(before: Any, after: Any) -> bool:
    """Whether it was there and is not the same: which is weaker the template can't tell."""
    return before is not None and before != after


def becomes_another(before: Any, after: Any) -> bool:
    """Whether it is there on both sides, and not the same."""
    return before is not None and after is not None and before != after


_PUBLIC_ACCESS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")

RULES: Final = (
    *(
        Rule(
            "AWS::S3::Bucket",
            ("PublicAccessBlockConfiguration", name),
            _no_longer(True),
            f"public access to the bucket is no longer blocked ({name})",
            EXPOSED,
        )
        for name in _PUBLIC_ACCESS
    ),
    Rule(
        "AWS::S3::Bucket",
        ("AccessControl",),
        lambda before, after: after not in (None, "Private", before),
        "another access control list",
        EXPOSED,
    ),
    Rule(
        "AWS::S3::Bucket",
        ("BucketEncryption",),
        differs,
        "another encryption of the bucket",
        READABLE,
    ),
    Rule(
        "AWS::S3::Bucket",
        ("VersioningConfiguration", "Status"),
        _no_longer("Enabled"),
        "the bucket no longer keeps versions",
        LOST,
    ),
    Rule(
        "AWS::S3::Bucket",
        ("OwnershipControls",),
        _goes,
        "access control lists can give the bucket's objects away",
        EXPOSED,
    ),
    Rule(
        "AWS::KMS::Key",
        ("EnableKeyRotation",),
        _no_longer(True),
        "the key is no longer rotated",
        READABLE,
    ),
    Rule(
        "AWS::KMS::Key", ("PendingWindowInDays",), differs, "another waiting time before the key goes", LOST
    ),
    Rule(
        "AWS::ECR::Repository",
        ("ImageTagMutability",),
        _no_longer("IMMUTABLE"),
        "image tags can be moved to other images",
        "An image that was reviewed can be another one under the same name.",
    ),
    Rule(
        "AWS::ECR::Repository",
        ("ImageScanningConfiguration", "ScanOnPush"),
        _no_longer(True),
        "images are no longer scanned",
        "Known vulnerabilities stay unseen.",
    ),
    Rule("AWS::ECR::Repository", ("EncryptionConfiguration",), differs, "another encryption", READABLE),
    Rule(
        MODEL,
        ("EnableNetworkIsolation",),
        _no_longer(True),
        "the container is no longer isolated from the network",
        _OPEN,
    ),
    Rule(MODEL, ("VpcConfig",), _goes, "the container leaves the agency's VPC", _OPEN),
    Rule(
        MODEL,
        ("VpcConfig", "SecurityGroupIds"),
        differs,
        "other security groups; what they let through is not in the template",
        _OPEN,
    ),
    Rule(
        ENDPOINT_CONFIG,
        ("EnableNetworkIsolation",),
        _no_longer(True),
        "the containers are no longer isolated from the network",
        _OPEN,
    ),
    Rule(ENDPOINT_CONFIG, ("VpcConfig",), _goes, "the containers leave the agency's VPC", _OPEN),
    Rule(
        ENDPOINT_CONFIG,
        ("VpcConfig", "SecurityGroupIds"),
        differs,
        "other security groups; what they let through is not in the template",
        _OPEN,
    ),
    Rule(
        ENDPOINT_CONFIG,
        ("DataCaptureConfig", "InitialSamplingPercentage"),
        lambda before, after: (after or 0) > (before or 0),
        "more of what callers ask and are answered is kept in a bucket",
        "Prompts and answers outlive the call, and whoever may read the bucket reads them.",
    ),
    Rule(
        ENDPOINT_CONFIG,
        ("DataCaptureConfig", "DestinationS3Uri"),
        becomes_another,
        "what callers ask and are answered is kept in another place",
        EXPOSED,
    ),
    Rule(
        ENDPOINT_CONFIG,
        ("DataCaptureConfig", "KmsKeyId"),
        _goes,
        "what callers ask and are answered is kept without the agency's key",
        READABLE,
    ),
    Rule(
        ENDPOINT_CONFIG,
        ("AsyncInferenceConfig", "OutputConfig", "S3OutputPath"),
        becomes_another,
        "answers are written to another place",
        EXPOSED,
    ),
    Rule(
        ENDPOINT_CONFIG,
        ("AsyncInferenceConfig", "OutputConfig", "KmsKeyId"),
        _goes,
        "answers are written without the agency's key",
        READABLE,
    ),
    Rule(
        ENDPOINT_CONFIG,
        ("KmsKeyId",),
        becomes_another,
        "another key encrypts the endpoint's volume",
        READABLE,
    ),
    Rule(
        "AWS::S3::Bucket",
        ("ReplicationConfiguration",),
        lambda before, after: after is not None and before != after,
        "the bucket's objects are copied to another bucket",
        EXPOSED,
    ),
    Rule("AWS::SNS::Topic", ("KmsMasterKeyId",), _goes, "the topic is no longer encrypted", READABLE),
    Rule("AWS::SNS::Topic", ("KmsMasterKeyId",), becomes_another, "another key encrypts the topic", READABLE),
    Rule("AWS::SQS::Queue", ("KmsMasterKeyId",), _goes, "the queue has no key any more", READABLE),
    Rule("AWS::Logs::LogGroup", ("KmsKeyId",), _goes, "the log group has no key any more", READABLE),
    Rule("AWS::Lambda::Function", ("KmsKeyArn",), _goes, "the function has no key any more", READABLE),
    Rule("AWS::Lambda::Function", ("VpcConfig",), _goes, "the function leaves the VPC", _OPEN),
    Rule("AWS::CodeBuild::Project", ("EncryptionKey",), _goes, "the build has no key any more", READABLE),
    Rule(
        "AWS::CodeBuild::Project",
        ("Environment", "PrivilegedMode"),
        _becomes(True),
        "builds run privileged",
        "What is built can take over the machine that builds it.",
    ),
)
