"""What SageMaker does in the name of an execution role: it can do what the role may, and no more."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from quant_llm_tools.local_aws import images
from quant_llm_tools.local_aws.access import trust
from quant_llm_tools.local_aws.cloud import Cloud
from quant_llm_tools.local_aws.hosting_errors import AccessRefused, raise_if_refused

_PRINCIPAL = "sagemaker.amazonaws.com"
_SESSION = "SageMaker"


def client(cloud: Cloud, service: str, region: str, role_arn: str) -> Any:
    """A client of the embedded AWS with the role's credentials; each request is checked as it is made.

    Raises AccessRefused if there is no such role, or if it doesn't let SageMaker in.
    """
    reason = trust.refusal(role_arn, _PRINCIPAL)
    if reason is not None:
        raise AccessRefused(reason)
    return cloud.client_of_role(service, region, role_arn, session=_SESSION)


def pull(registry: Any, image: images.LocalImage) -> None:
    """Ask the registry for an image that is on this machine already: AccessRefused if the role may not."""
    repository = image.uri.partition("/")[2].rpartition(":")[0]
    try:
        registry.get_authorization_token()
        registry.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": image.digest}])
    except ClientError as error:
        # An image that tests put there is in no repository.
        raise_if_refused(error)
