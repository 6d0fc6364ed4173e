"""`protection-weakened`: public exposure, encryption, isolation, what is kept when a stack goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from quant_llm.catalogue import load_catalogue
from quant_llm_tools.review.classify.comparison import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    INFERENCE_COMPONENT,
    MODEL,
    Comparison,
)
from quant_llm_tools.review.classify.stateful import STATEFUL
from quant_llm_tools.review.classify.words import text_of
from quant_llm_tools.review.model import Change, ChangeClass

_EXPOSED: Final = "What was private can be reached by people who were never meant to."
_READABLE: Final = "Whoever gets at the storage can read what is on it, or read it with another key."
_OPEN: Final = "The container can be reached, or can reach out, over the network."
_LOST: Final = "It protects from loss: of weights, of images, of the way back."


@dataclass(frozen=True)
class _Rule:
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


def _differs(before: Any, after: Any) -> bool:
    return before is not None and before != after


_PUBLIC_ACCESS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")

_RULES: Final = (
    *(
        _Rule(
            "AWS::S3::Bucket",
            ("PublicAccessBlockConfiguration", name),
            _no_longer(True),
            f"public access to the bucket is no longer blocked ({name})",
            _EXPOSED,
        )
        for name in _PUBLIC_ACCESS
    ),
    _Rule("AWS::S3::Bucket", ("AccessControl",), _differs, "another access control list", _EXPOSED),
    _Rule(
        "AWS::S3::Bucket",
        ("BucketEncryption",),
        _differs,
        "another encryption of the bucket",
        _READABLE,
    ),
    _Rule(
        "AWS::S3::Bucket",
        ("VersioningConfiguration", "Status"),
        _no_longer("Enabled"),
        "the bucket no longer keeps versions",
        _LOST,
    ),
    _Rule(
        "AWS::S3::Bucket",
        ("OwnershipControls",),
        _goes,
        "access control lists can give the bucket's objects away",
        _EXPOSED,
    ),
    _Rule(
        "AWS::KMS::Key",
        ("EnableKeyRotation",),
        _no_longer(True),
        "the key is no longer rotated",
        _READABLE,
    ),
    _Rule(
        "AWS::KMS::Key", ("PendingWindowInDays",), _differs, "another waiting time before the key goes", _LOST
    ),
    _Rule(
        "AWS::ECR::Repository",
        ("ImageTagMutability",),
        _no_longer("IMMUTABLE"),
        "image tags can be moved to other images",
        "An image that was reviewed can be another one under the same name.",
    ),
    _Rule(
        "AWS::ECR::Repository",
        ("ImageScanningConfiguration", "ScanOnPush"),
        _no_longer(True),
        "images are no longer scanned",
        "Known vulnerabilities stay unseen.",
    ),
    _Rule("AWS::ECR::Repository", ("EncryptionConfiguration",), _differs, "another encryption", _READABLE),
    _Rule(
        MODEL,
        ("EnableNetworkIsolation",),
        _no_longer(True),
        "the container is no longer isolated from the network",
        _OPEN,
    ),
    _Rule(MODEL, ("VpcConfig",), _goes, "the container leaves the agency's VPC", _OPEN),
    _Rule(
        MODEL,
        ("VpcConfig", "SecurityGroupIds"),
        _differs,
        "other security groups; what they let through is not in the template",
        _OPEN,
    ),
    _Rule(
        ENDPOINT_CONFIG,
        ("EnableNetworkIsolation",),
        _no_longer(True),
        "the containers are no longer isolated from the network",
        _OPEN,
    ),
    _Rule(ENDPOINT_CONFIG, ("VpcConfig",), _goes, "the containers leave the agency's VPC", _OPEN),
    _Rule(
        ENDPOINT_CONFIG,
        ("VpcConfig", "SecurityGroupIds"),
        _differs,
        "other security groups; what they let through is not in the template",
        _OPEN,
    ),
    _Rule(
        ENDPOINT_CONFIG,
        ("DataCaptureConfig", "InitialSamplingPercentage"),
        lambda before, after: (after or 0) > (before or 0),
        "more of what callers ask and are answered is kept in a bucket",
        "Prompts and answers outlive the call, and whoever may read the bucket reads them.",
    ),
    _Rule("AWS::SNS::Topic", ("KmsMasterKeyId",), _goes, "the topic is no longer encrypted", _READABLE),
    _Rule("AWS::SQS::Queue", ("KmsMasterKeyId",), _goes, "the queue has no key any more", _READABLE),
    _Rule("AWS::Logs::LogGroup", ("KmsKeyId",), _goes, "the log group has no key any more", _READABLE),
    _Rule("AWS::Lambda::Function", ("KmsKeyArn",), _goes, "the function has no key any more", _READABLE),
    _Rule("AWS::Lambda::Function", ("VpcConfig",), _goes, "the function leaves the VPC", _OPEN),
    _Rule("AWS::CodeBuild::Project", ("EncryptionKey",), _goes, "the build has no key any more", _READABLE),
    _Rule(
        "AWS::CodeBuild::Project",
        ("Environment", "PrivilegedMode"),
        _becomes(True),
        "builds run privileged",
        "What is built can take over the machine that builds it.",
    ),
)

_ROLLBACK: Final = ("DeploymentConfig", "AutoRollbackConfiguration")
_WORLD: Final = ("0.0.0.0/0", "::/0")
_INGRESS: Final = "AWS::EC2::SecurityGroupIngress"
_GROUP: Final = "AWS::EC2::SecurityGroup"


def protection(comparison: Comparison) -> Iterator[Change]:
    """Each rule that a resource of both sides breaks, and new openings to the world."""
    for logical_id in comparison.kept():
        kind = comparison.after.resources[logical_id]["Type"]
        before, after = comparison.before.properties(logical_id), comparison.after.properties(logical_id)
        for rule in _RULES:
            if rule.resource_type != kind:
                continue
            old, new = _at(before, rule.path), _at(after, rule.path)
            is_told = rule.path[0] == "VpcConfig" and len(rule.path) > 1 and "VpcConfig" not in after
            if rule.is_weaker(old, new) and not is_told:
                comparison.explain(logical_id, rule.path[0])
                yield _weakened(comparison, logical_id, rule.summary, rule.why, old, new)
        yield from _kept_no_longer(comparison, logical_id)
    yield from _volumes(comparison)
    yield from _way_back(comparison)
    yield from _openings(comparison)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _weakened(
    comparison: Comparison, logical_id: str, summary: str, why: str, before: Any, after: Any
) -> Change:
    return comparison.change(
        ChangeClass.PROTECTION_WEAKENED,
        comparison.path(logical_id),
        summary,
        why=why,
        effect="In force from the deploy on.",
        before=_value(before, comparison, is_before=True),
        after=_value(after, comparison, is_before=False),
    )


def _value(value: Any, comparison: Comparison, *, is_before: bool) -> Any:
    if not isinstance(value, Mapping | list):
        return value
    return text_of(value, comparison.before if is_before else comparison.after)


def _kept_no_longer(comparison: Comparison, logical_id: str) -> Iterator[Change]:
    """What holds data was kept when it left the stack or was replaced, and isn't any more."""
    old, new = comparison.before.resources[logical_id], comparison.after.resources[logical_id]
    if new["Type"] not in STATEFUL:
        return
    what = STATEFUL[new["Type"]][0]
    for name, when in (("DeletionPolicy", "the stack goes"), ("UpdateReplacePolicy", "it is replaced")):
        if old.get(name) in ("Retain", "Snapshot") and new.get(name) not in ("Retain", "Snapshot"):
            comparison.explain(logical_id, name)
            yield _weakened(
                comparison,
                logical_id,
                f"the {what} is deleted when {when}",
                _LOST,
                old.get(name),
                new.get(name, "Delete"),
            )


def _volumes(comparison: Comparison) -> Iterator[Change]:
    """An endpoint's volume without a key, unless its instances have disks that encrypt themselves."""
    for logical_id in comparison.kept(ENDPOINT_CONFIG):
        before, after = comparison.before.properties(logical_id), comparison.after.properties(logical_id)
        if "KmsKeyId" not in before or "KmsKeyId" in after:
            continue
        types = [variant.get("InstanceType") for variant in after.get("ProductionVariants", ())]
        known = [load_catalogue().find(str(one)) for one in types]
        if any(one is None or not one.local_storage_gb for one in known):
            yield _weakened(
                comparison,
                logical_id,
                "the endpoint's volume is no longer encrypted with the agency's key",
                _READABLE,
                before["KmsKeyId"],
                None,
            )


def _way_back(comparison: Comparison) -> Iterator[Change]:
    """An endpoint without the alarms that took a bad update back, on itself or on its inference component."""
    for logical_id in comparison.kept(ENDPOINT):
        model = comparison.model_of(logical_id)
        components = (one for one in comparison.after.of_type(INFERENCE_COMPONENT))
        after = [logical_id, *(one for one in components if comparison.model_of(one) == model)]
        before = _at(comparison.before.properties(logical_id), _ROLLBACK)
        if before and not any(_at(comparison.after.properties(one), _ROLLBACK) for one in after):
            yield _weakened(
                comparison,
                logical_id,
                "no alarm takes a bad update back any more",
                "An update that breaks the endpoint stays.",
                before,
                None,
            )


def _openings(comparison: Comparison) -> Iterator[Change]:
    for logical_id, resource in comparison.after.resources.items():
        if resource["Type"] not in (_INGRESS, _GROUP):
            continue
        old = _open_rules(comparison.before.resources.get(logical_id, {}))
        for rule in _open_rules(resource):
            if rule not in old:
                yield _weakened(
                    comparison, logical_id, "open to every address of the Internet", _EXPOSED, None, rule
                )


def _open_rules(resource: Mapping[str, Any]) -> list[Any]:
    properties = resource.get("Properties", {})
    rules = [properties] if resource.get("Type") == _INGRESS else properties.get("SecurityGroupIngress", [])
    return [rule for rule in rules if {rule.get("CidrIp"), rule.get("CidrIpv6")} & set(_WORLD)]
