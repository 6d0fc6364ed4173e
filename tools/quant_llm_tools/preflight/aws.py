"""What preflight asks of one account and region, by boto3: it reads, and reads no secret's value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from quant_llm_tools.preflight.row import CheckError

BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
_ENDPOINT_QUOTA = " for endpoint usage"
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 4})


@dataclass
class AwsAccount:
    """The account that the credentials lead to, in a region. CheckError for whatever it does not answer."""

    region: str
    session: boto3.Session = field(default_factory=boto3.Session)

    @cached_property
    def account(self) -> str:
        """The account's 12 digits."""
        answer = _ask("sts:GetCallerIdentity", lambda: self._client("sts").get_caller_identity())
        return str(answer["Account"])

    def bootstrap_version(self) -> int | None:
        """The version of the CDK's bootstrap stack; None when there is none."""
        answer = _ask(
            "ssm:GetParameter",
            lambda: self._client("ssm").get_parameter(Name=BOOTSTRAP_PARAMETER),
            absent=("ParameterNotFound",),
        )
        return answer and int(answer["Parameter"]["Value"])

    @cached_property
    def endpoint_quotas(self) -> dict[str, int]:
        """How many instances of each type endpoints may have, by type: those that the region hosts.

        A quota that was never changed is not always among the applied ones, but among AWS's defaults.
        """
        return {
            **self._quotas("servicequotas:ListAWSDefaultServiceQuotas", "list_aws_default_service_quotas"),
            **self._quotas("servicequotas:ListServiceQuotas", "list_service_quotas"),
        }

    def _quotas(self, action: str, operation: str) -> dict[str, int]:
        def ask() -> list[Any]:
            pages = self._client("service-quotas").get_paginator(operation).paginate(ServiceCode="sagemaker")
            return [quota for page in pages for quota in page["Quotas"]]

        return {
            quota["QuotaName"].removesuffix(_ENDPOINT_QUOTA): int(quota["Value"])
            for quota in _ask(action, ask)
            if quota["QuotaName"].endswith(_ENDPOINT_QUOTA)
        }

    def has_image(self, registry: str, repository: str, image: dict[str, str]) -> bool:
        """Whether a repository of the account `registry` has an image, by `imageTag` or `imageDigest`."""
        answer = _ask(
            "ecr:DescribeImages",
            lambda: self._client("ecr").describe_images(
                registryId=registry, repositoryName=repository, imageIds=[image]
            ),
            absent=("ImageNotFoundException", "RepositoryNotFoundException"),
        )
        return answer is not None

    def has_secret(self, name: str) -> bool:
        """Whether there is a secret that is not about to be deleted."""
        answer = _ask(
            "secretsmanager:DescribeSecret",
            lambda: self._client("secretsmanager").describe_secret(SecretId=name),
            absent=("ResourceNotFoundException",),
        )
        return answer is not None and "DeletedDate" not in answer

    def has_policy(self, arn: str) -> bool:
        """Whether there is an IAM policy."""
        answer = _ask(
            "iam:GetPolicy",
            lambda: self._client("iam").get_policy(PolicyArn=arn),
            absent=("NoSuchEntity",),
        )
        return answer is not None

    def _client(self, service: Any) -> Any:
        return self.session.client(service, region_name=self.region, config=_PATIENCE)


def _ask(action: str, call: Callable[[], Any], *, absent: tuple[str, ...] = ()) -> Any:
    """The answer; None when AWS says by a code of `absent` that there is no such thing.

    CheckError names the IAM action in place of boto3's errors.
    """
    try:
        return call()
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code in absent:
            return None
        problem = f"{action} is denied" if code in _DENIED else f"{action}: {code}: {message}"
    except BotoCoreError as error:
        problem = f"{action}: {error}"
    raise CheckError(problem)
