"""AWS's own names, from the data that botocore carries: no network, as new as the pinned botocore."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from botocore.loaders import Loader

REGIONS_WITHOUT_BUDGETS = frozenset(
    {
        "af-south-1",
        "ap-east-1",
        "ap-east-2",
        "ap-northeast-3",
        "ap-south-2",
        "ap-southeast-3",
        "ap-southeast-4",
        "ap-southeast-5",
        "ap-southeast-6",
        "ap-southeast-7",
        "ca-west-1",
        "eu-central-2",
        "eu-north-1",
        "eu-south-1",
        "eu-south-2",
        "il-central-1",
        "me-central-1",
        "mx-central-1",
        "us-gov-east-1",
        "us-gov-west-1",
    }
)
"""Regions whose CloudFormation has no AWS::Budgets::Budget, by the resource schemas of cfn-lint 1.58."""

REGIONS_WITH_INFERENCE_COMPONENTS = frozenset(
    {
        "ap-northeast-1",
        "ap-northeast-2",
        "ap-south-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ap-southeast-3",
        "ca-central-1",
        "eu-central-1",
        "eu-isoe-west-1",
        "eu-north-1",
        "eu-west-1",
        "eu-west-2",
        "eusc-de-east-1",
        "me-central-1",
        "sa-east-1",
        "us-east-1",
        "us-east-2",
        "us-iso-east-1",
        "us-iso-west-1",
        "us-isob-east-1",
        "us-isob-west-1",
        "us-isof-east-1",
        "us-isof-south-1",
        "us-west-2",
    }
)
"""Regions whose CloudFormation has AWS::SageMaker::InferenceComponent, by the resource schemas of cfn-lint
1.58. That SageMaker takes a least number of 0 instances in each of them is not said there."""


@dataclass(frozen=True)
class Partition:
    """A partition of AWS: the id that ARNs carry, and the domain that its services are under."""

    id: str
    domain: str


@functools.cache
def regions() -> dict[str, Partition]:
    """Every region with its partition; a partition's pseudo region (`aws-global`) is left out."""
    data: dict[str, Any] = Loader().load_data("partitions")
    return {
        region: Partition(partition["id"], partition["outputs"]["dnsSuffix"])
        for partition in data["partitions"]
        for region in partition["regions"]
        if not region.endswith("-global")
    }


@functools.cache
def hosting_instance_types() -> tuple[str, ...]:
    """Every instance type that SageMaker's API takes for an endpoint, in any region."""
    return _instance_types("ProductionVariantInstanceType")


@functools.cache
def processing_instance_types() -> tuple[str, ...]:
    """Every instance type that SageMaker's API takes for a processing job, in any region."""
    return _instance_types("ProcessingInstanceType")


def _instance_types(shape: str) -> tuple[str, ...]:
    model: dict[str, Any] = Loader().load_service_model("sagemaker", "service-2")
    return tuple(model["shapes"][shape]["enum"])
