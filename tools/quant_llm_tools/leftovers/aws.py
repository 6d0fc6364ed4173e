"""What AWS knows about leftovers, by boto3: it reads, and removes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import boto3
from botocore.exceptions import ClientError

from quant_llm.agency import DeploymentEnvironment
from quant_llm.errors import QuantLlmError
from quant_llm.names import AGENCY_TAG
from quant_llm_tools.artifacts.aws import explained
from quant_llm_tools.leftovers.describe import Contents
from quant_llm_tools.leftovers.inventory import StackState, Tagged

_NO_LONGER = ("PendingDeletion", "PendingReplicaDeletion")


@dataclass(frozen=True)
class AwsCloud:
    """One account and region. QuantLlmError for whatever AWS refuses."""

    environment: DeploymentEnvironment
    session: boto3.Session

    @classmethod
    def connect(cls, environment: DeploymentEnvironment) -> AwsCloud:
        """With the credentials that boto3 finds; QuantLlmError when they are another account's."""
        cloud = cls(environment, boto3.Session(region_name=environment.region))
        with explained("can't find out whose the credentials are"):
            account = cloud._client("sts").get_caller_identity()["Account"]
        if account != environment.account:
            raise QuantLlmError(
                f"the credentials are of account {account}, expected {environment.account} of the agency file"
            )
        return cloud

    def tagged(self, agency: str) -> Iterator[Tagged]:
        """Every resource of the region with the agency's tag."""
        pages = self._client("resourcegroupstaggingapi").get_paginator("get_resources")
        with explained("can't list what is tagged"):
            for page in pages.paginate(TagFilters=[{"Key": AGENCY_TAG, "Values": [agency]}]):
                for one in page["ResourceTagMappingList"]:
                    yield Tagged(one["ResourceARN"], {tag["Key"]: tag["Value"] for tag in one["Tags"]})

    def stack(self, name: str) -> StackState | None:
        """The stack of this name that exists; one that was rolled back does."""
        cloudformation = self._client("cloudformation")
        with explained(f"can't look at the stack {name!r}"):
            try:
                (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if "does not exist" in error.response["Error"].get("Message", ""):
                    return None
                raise
            pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
            resources = {
                one["PhysicalResourceId"]: one["ResourceStatus"]
                for page in pages
                for one in page["StackResourceSummaries"]
                if one.get("PhysicalResourceId")
            }
        return StackState(found["StackStatus"], resources)

    def key_description(self, key_id: str) -> str | None:
        """What the key is for; None for one that is about to be deleted, which costs nothing."""
        with explained(f"can't describe the key {key_id}"):
            key = self._client("kms").describe_key(KeyId=key_id)["KeyMetadata"]
        return None if key["KeyState"] in _NO_LONGER else str(key.get("Description", ""))

    def contents(self, bucket: str) -> Contents:
        """The first page of a bucket's object versions: what one call can delete."""
        with explained(f"can't list s3://{bucket}/"):
            page = self._client("s3").list_object_versions(Bucket=bucket)
        versions = page.get("Versions", [])
        size = sum(version["Size"] for version in versions)
        return Contents(
            len(versions), len(page.get("DeleteMarkers", [])), size, bool(page.get("IsTruncated"))
        )

    def images(self, repository: str) -> int:
        """How many images a repository has."""
        with explained(f"can't list the images of {repository}"):
            pages = self._client("ecr").get_paginator("describe_images").paginate(repositoryName=repository)
            return sum(len(page["imageDetails"]) for page in pages)

    def log_bytes(self, group: str) -> int | None:
        """How much a log group has stored; None when there is no such group."""
        with explained(f"can't look at the log group {group}"):
            pages = self._client("logs").get_paginator("describe_log_groups")
            for page in pages.paginate(logGroupNamePrefix=group):
                for one in page["logGroups"]:
                    if one["logGroupName"] == group:
                        return int(one.get("storedBytes", 0))
        return None

    def _client(self, service: str) -> Any:
        make = cast(Any, self.session.client)  # the stubs know each service's own client, not one for any
        return make(service)
