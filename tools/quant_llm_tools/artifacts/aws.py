"""What AWS knows about an agency's artifacts, and their deletion, by boto3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from quant_llm.agency import DeploymentEnvironment
from quant_llm.errors import QuantLlmError
from quant_llm.names import ARTIFACT_PREFIX
from quant_llm_tools.artifacts.inventory import ObjectVersion

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient

BUCKET_OUTPUT = "ModelBucketName"
DELETE_AT_ONCE = 1000  # S3's limit for DeleteObjects


@dataclass(frozen=True)
class AwsCloud:
    """One account and region. QuantLlmError for whatever AWS refuses."""

    environment: DeploymentEnvironment
    cloudformation: CloudFormationClient
    s3: S3Client
    sagemaker: SageMakerClient

    @classmethod
    def connect(cls, environment: DeploymentEnvironment) -> AwsCloud:
        """With the credentials that boto3 finds; nothing is asked yet."""
        session = boto3.Session(region_name=environment.region)
        with explained(f"can't reach AWS in {environment.region}"):
            return cls(
                environment,
                session.client("cloudformation"),
                session.client("s3"),
                session.client("sagemaker"),
            )

    def bucket(self, stack: str) -> str | None:
        """The bucket of a stack's artifacts, None when there is no such stack.

        QuantLlmError when the credentials lead to another account's stack of this name.
        """
        with explained(f"can't find the stack {stack!r}"):
            try:
                (found,) = self.cloudformation.describe_stacks(StackName=stack)["Stacks"]
            except ClientError as error:
                if "does not exist" in error.response["Error"].get("Message", ""):
                    return None
                raise
        account = found["StackId"].split(":")[4]
        if account != self.environment.account:
            raise QuantLlmError(
                f"stack {stack!r}: the credentials are of account {account}, "
                f"expected {self.environment.account} of the agency file"
            )
        outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
        if BUCKET_OUTPUT not in outputs:
            raise QuantLlmError(
                f"stack {stack!r} in state {found['StackStatus']} has no output {BUCKET_OUTPUT}, "
                "expected it to be deployed"
            )
        return outputs[BUCKET_OUTPUT]

    def versions(self, bucket: str) -> Iterator[ObjectVersion]:
        """All versions of all objects under `models/`, with delete markers."""
        pages = self.s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, Prefix=f"{ARTIFACT_PREFIX}/"
        )
        with explained(f"can't list s3://{bucket}/{ARTIFACT_PREFIX}/"):
            for page in pages:
                for version in page.get("Versions", []):
                    yield ObjectVersion(
                        version["Key"], version["VersionId"], version["Size"], version["LastModified"]
                    )
                for marker in page.get("DeleteMarkers", []):
                    yield ObjectVersion(marker["Key"], marker["VersionId"], 0, marker["LastModified"])

    def delete(self, bucket: str, versions: Sequence[ObjectVersion]) -> None:
        """Delete versions for good; QuantLlmError names the first that S3 keeps."""
        with explained(f"can't delete objects of {bucket}"):
            for start in range(0, len(versions), DELETE_AT_ONCE):
                answer = self.s3.delete_objects(
                    Bucket=bucket,
                    Delete={
                        "Objects": [
                            {"Key": version.key, "VersionId": version.version_id}
                            for version in versions[start : start + DELETE_AT_ONCE]
                        ],
                        "Quiet": True,
                    },
                )
                for error in answer.get("Errors", []):
                    raise QuantLlmError(
                        f"can't delete s3://{bucket}/{error.get('Key')}: "
                        f"{error.get('Code')}: {error.get('Message')}"
                    )

    def served(self) -> dict[str, set[str]]:
        """The `s3://` URLs of the model data of every endpoint, by the endpoint's name.

        While an endpoint is updated that is the data of the configuration it has and of the one it gets.
        """
        with explained("can't find out what the endpoints serve"):
            pages = self.sagemaker.get_paginator("list_endpoints").paginate()
            names = [endpoint["EndpointName"] for page in pages for endpoint in page["Endpoints"]]
            return {name: self._data_of_endpoint(name) for name in names}

    def _data_of_endpoint(self, name: str) -> set[str]:
        endpoint = self.sagemaker.describe_endpoint(EndpointName=name)
        configs = {endpoint["EndpointConfigName"]}
        if pending := endpoint.get("PendingDeploymentSummary"):
            configs.add(pending["EndpointConfigName"])
        urls: set[str] = set()
        for config_name in configs:
            config = self.sagemaker.describe_endpoint_config(EndpointConfigName=config_name)
            for variant in [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]:
                if model := variant.get("ModelName"):
                    urls |= self._data_of_model(model)
                else:
                    urls |= self._data_of_components(name)
        return urls

    def _data_of_components(self, endpoint: str) -> set[str]:
        """A variant without a model has inference components, which name one each."""
        urls: set[str] = set()
        pages = self.sagemaker.get_paginator("list_inference_components").paginate(
            EndpointNameEquals=endpoint
        )
        for page in pages:
            for one in page["InferenceComponents"]:
                component = self.sagemaker.describe_inference_component(
                    InferenceComponentName=one["InferenceComponentName"]
                )
                specification = component.get("Specification", {})
                if model := specification.get("ModelName"):
                    urls |= self._data_of_model(model)
                if url := specification.get("Container", {}).get("ArtifactUrl"):
                    urls.add(url)
        return urls

    def _data_of_model(self, name: str) -> set[str]:
        model = self.sagemaker.describe_model(ModelName=name)
        containers: list[Any] = [model.get("PrimaryContainer", {}), *model.get("Containers", [])]
        urls = {container.get("ModelDataUrl") for container in containers}
        for container in containers:
            sources = [container, *container.get("AdditionalModelDataSources", [])]
            for source in sources:
                described = source.get("ModelDataSource") or source
                urls.add(described.get("S3DataSource", {}).get("S3Uri"))
        return {url for url in urls if url}


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what AWS refuses into a QuantLlmError that begins with `what`."""
    try:
        yield
    except ClientError as error:
        details = error.response["Error"]
        raise QuantLlmError(f"{what}: {details['Code']}: {details.get('Message', '')}") from error
    except BotoCoreError as error:
        raise QuantLlmError(f"{what}: {error}") from error
