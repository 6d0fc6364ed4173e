"""What a leftover holds, what it costs, and the commands that remove it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from quant_llm_tools.leftovers.inventory import Tagged

KEY_USD_PER_MONTH: Final = 1.0
"""A key, until its deletion is scheduled; its rotations come on top: https://aws.amazon.com/kms/pricing/"""

# One argument of a command has 128 KiB on Linux, which is room for so many versions with long keys.
_AT_ONCE = 200


@dataclass(frozen=True)
class Contents:
    """A bucket's object versions and delete markers; `more` says that these are only the first."""

    versions: int
    markers: int
    bytes: int
    more: bool = False


@dataclass(frozen=True)
class Leftover:
    """A resource that no stack has any more.

    `holds` and `bills` are for people. `usd_per_month` is what it costs whatever it holds, None where that is
    not known here. `commands` remove it for good; there are none for a type that is not known here.
    """

    type: str
    name: str
    arn: str
    holds: str
    bills: str
    usd_per_month: float | None = None
    commands: tuple[str, ...] = ()


class Cloud(Protocol):
    """What is asked of the account about a resource."""

    def contents(self, bucket: str) -> Contents:
        """What is in a bucket."""
        ...

    def images(self, repository: str) -> int:
        """How many images a repository has."""
        ...

    def log_bytes(self, group: str) -> int | None:
        """How much a log group has stored; None when there is no such group."""
        ...


def describe(one: Tagged, cloud: Cloud, region: str) -> Leftover:
    """All that is said of a resource."""
    known = _KNOWN.get(one.kind)
    if known is None:
        return Leftover(one.kind, one.name, one.arn, "", "see its service's prices")
    return known(one, cloud, region)


def log_group(name: str, stored: int, region: str, arn: str = "") -> Leftover:
    """A log group, also one that SageMaker made: those have no tags."""
    command = _aws("logs delete-log-group", region, log_group_name=name)
    return Leftover(
        "log group", name, arn, _bytes(stored), "storage of logs, for as long as it exists", None, (command,)
    )


def _log_group(one: Tagged, cloud: Cloud, region: str) -> Leftover:
    return log_group(one.name, cloud.log_bytes(one.name) or 0, region, one.arn)


def _bucket(one: Tagged, cloud: Cloud, region: str) -> Leftover:
    inside = cloud.contents(one.name)
    commands = [
        _empty(one.name, what, region)
        for what, number in (("Versions", inside.versions), ("DeleteMarkers", inside.markers))
        if number
    ]
    holds = f"{inside.versions} object versions, {_bytes(inside.bytes)}"
    if inside.more:
        holds += " and more"
    if inside.more or max(inside.versions, inside.markers) > _AT_ONCE:
        holds += f": a command removes {_AT_ONCE} at once, repeat it until the bucket is empty"
    return Leftover(
        "bucket",
        one.name,
        one.arn,
        holds,
        "storage by S3's price for the region" if inside.versions else "nothing while it is empty",
        None if inside.versions else 0.0,
        (*commands, _aws("s3api delete-bucket", region, bucket=one.name)),
    )


def _empty(bucket: str, what: str, region: str) -> str:
    """`aws s3 rm` and `rb --force` leave the older versions, and a bucket with those can't be deleted."""
    query = f"{{Objects: {what}[].{{Key: Key, VersionId: VersionId}}, Quiet: `true`}}"
    listing = _aws("s3api list-object-versions", region, bucket=bucket, max_items=str(_AT_ONCE), query=query)
    command = _aws("s3api delete-objects", region, bucket=bucket)
    return f'{command} --delete "$({listing} --output json)"'


def _key(one: Tagged, cloud: Cloud, region: str) -> Leftover:
    return Leftover(
        "key",
        one.name,
        one.arn,
        "what is encrypted with it can't be read once it is deleted",
        "until its deletion is scheduled, and more with each rotation",
        KEY_USD_PER_MONTH,
        (_aws("kms schedule-key-deletion", region, key_id=one.name, pending_window_in_days="7"),),
    )


def _repository(one: Tagged, cloud: Cloud, region: str) -> Leftover:
    command = _aws("ecr delete-repository", region, repository_name=one.name)
    number = cloud.images(one.name)
    return Leftover(
        "image repository",
        one.name,
        one.arn,
        f"{number} images",
        "storage by ECR's price for the region",
        None if number else 0.0,
        (f"{command} --force",),
    )


def _hosted(kind: str, what: str, bills: str, usd: float | None) -> Callable[[Tagged, Cloud, str], Leftover]:
    option = f"{kind.replace('-', '_')}_name"

    def leftover(one: Tagged, cloud: Cloud, region: str) -> Leftover:
        command = _aws(f"sagemaker delete-{kind}", region, **{option: one.name})
        return Leftover(what, one.name, one.arn, "", bills, usd, (command,))

    return leftover


# By the kinds of inventory.Tagged.
_KNOWN: Mapping[str, Callable[[Tagged, Cloud, str], Leftover]] = {
    "s3": _bucket,
    "ecr:repository": _repository,
    "logs:log-group": _log_group,
    "sagemaker:endpoint": _hosted("endpoint", "endpoint", "its instances, by the hour", None),
    "sagemaker:endpoint-config": _hosted("endpoint-config", "endpoint configuration", "nothing", 0.0),
    "sagemaker:model": _hosted("model", "model", "nothing", 0.0),
    "kms:key": _key,
}
ORDER: Final = tuple(_KNOWN)
"""In which leftovers are shown and removed: a key after all that it encrypts."""


def _aws(operation: str, region: str, **options: str) -> str:
    words = [f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in options.items()]
    return " ".join(["aws", operation, *words, "--region", region])


def _bytes(number: int) -> str:
    return f"{number:,} bytes"
