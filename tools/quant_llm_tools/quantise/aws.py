"""What a quantise job needs of AWS, by boto3: the stack's outputs, S3, SageMaker and the job's log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from quant_llm.agency import AgencyConfig
from quant_llm.errors import QuantLlmError
from quant_llm.names import PROCESSING_LOG_GROUP, quantise_output
from quant_llm_quantise.request import File
from quant_llm_tools.artifacts.aws import BUCKET_OUTPUT, AwsCloud, explained
from quant_llm_tools.lock.selection import HubFile

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient


@dataclass(frozen=True)
class Deployed:
    """What the agency's stack has for a recipe.

    `source` is the URL of the unquantised weights, `key` the ARN of the key that the output is encrypted by.
    """

    bucket: str
    role: str
    image: str
    source: str
    key: str


@dataclass(frozen=True)
class JobCloud:
    """The agency's account and region. QuantLlmError for whatever AWS refuses."""

    agency: AgencyConfig
    cloudformation: CloudFormationClient
    s3: S3Client
    sagemaker: SageMakerClient
    logs: CloudWatchLogsClient

    @classmethod
    def connect(cls, agency: AgencyConfig) -> JobCloud:
        """With the credentials that boto3 finds; nothing is asked yet."""
        region = agency.environment.region
        with explained(f"can't reach AWS in {region}"):
            session = boto3.Session(region_name=region)
            return cls(
                agency,
                session.client("cloudformation"),
                session.client("s3"),
                session.client("sagemaker"),
                session.client("logs"),
            )

    def deployed(self, recipe: str) -> Deployed:
        """The outputs of the agency's stack; QuantLlmError, with what to do, when they are not there."""
        stack = self.agency.stack_name
        remedy = f"run `cdk deploy {stack}` first"
        artifacts = AwsCloud(self.agency.environment, self.cloudformation, self.s3, self.sagemaker)
        if artifacts.bucket(stack) is None:
            raise QuantLlmError(f"there is no stack {stack!r}: {remedy}")
        with explained(f"can't read the stack {stack!r}"):
            (found,) = self.cloudformation.describe_stacks(StackName=stack)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
        keys = {what.lower(): quantise_output(recipe, what) for what in ("Role", "Image", "Source", "Key")}
        for key in keys.values():
            if key not in outputs:
                raise QuantLlmError(
                    f"stack {stack!r} has no output {key} for the recipe {recipe!r}: {remedy}"
                )
        return Deployed(bucket=outputs[BUCKET_OUTPUT], **{name: outputs[key] for name, key in keys.items()})

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Write an object; the bucket encrypts it under its own key."""
        with explained(f"can't write s3://{bucket}/{key}"):
            self.s3.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, bucket: str, key: str) -> bytes:
        """Read a whole object."""
        with explained(f"can't read s3://{bucket}/{key}"):
            return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        """The bytes of each object under a prefix, by the rest of its key."""
        with explained(f"can't list s3://{bucket}/{prefix}"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return {
                one["Key"].removeprefix(prefix): one["Size"]
                for page in pages
                for one in page.get("Contents", [])
            }

    def create(self, request: dict[str, Any]) -> None:
        """Start the job."""
        with explained(f"can't start the job {request['ProcessingJobName']}"):
            self.sagemaker.create_processing_job(**request)

    def describe(self, job: str) -> dict[str, Any]:
        """What SageMaker says of the job."""
        with explained(f"can't find the job {job}"):
            return dict(self.sagemaker.describe_processing_job(ProcessingJobName=job))

    def lines(self, job: str, since: int) -> Iterator[tuple[int, str, str]]:
        """Time in milliseconds, id and text of the lines in the job's log from `since` on."""
        asked: dict[str, Any] = {"logGroupName": PROCESSING_LOG_GROUP, "logStreamNamePrefix": f"{job}/"}
        try:
            pages = self.logs.get_paginator("filter_log_events").paginate(**asked, startTime=since)
            for page in pages:
                for event in page["events"]:
                    yield event["timestamp"], event["eventId"], event["message"]
        except self.logs.exceptions.ResourceNotFoundException:
            return  # the group is made with the account's first job


@dataclass(frozen=True)
class MadeRepository:
    """A job's result as a repository whose files' headers can be read; `made` is what its manifest lists."""

    cloud: JobCloud
    bucket: str
    prefix: str
    made: tuple[File, ...]

    def resolve(self) -> str:
        """There is one revision."""
        return ""

    def files(self, commit: str) -> list[HubFile]:
        """The files with the sha256 that whatever is read whole must have."""
        del commit
        return [HubFile(file.path, file.size, blob_id="", sha256=file.sha256) for file in self.made]

    def read(self, commit: str, file: HubFile, start: int, end: int) -> bytes:
        """The bytes of a file from `start` to `end`, which is not included."""
        del commit
        key = f"{self.prefix}{file.path}"
        with explained(f"can't read s3://{self.bucket}/{key}"):
            answer = self.cloud.s3.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={start}-{end - 1}")
            return answer["Body"].read()
