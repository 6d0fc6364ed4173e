"""What SageMaker tells EventBridge of its endpoints."""

from __future__ import annotations

import re

from moto.core.utils import unix_time_millis
from moto.sagemaker.models import FakeEndpoint

from quant_llm_tools.local_aws import events


def tell_state(endpoint: FakeEndpoint, account: str, region: str) -> None:
    """Emit the event of a change of state."""
    detail = {
        "EndpointName": endpoint.endpoint_name,
        "EndpointArn": endpoint.arn,
        "EndpointConfigName": endpoint.endpoint_config_name,
        # In the events' spelling: InService is IN_SERVICE.
        "EndpointStatus": re.sub(r"(?<=[a-z])(?=[A-Z])", "_", endpoint.endpoint_status).upper(),
        "CreationTime": int(unix_time_millis(endpoint.creation_time)),
        "LastModifiedTime": int(unix_time_millis(endpoint.last_modified_time)),
    }
    events.emit(account, region, "aws.sagemaker", "SageMaker Endpoint State Change", [endpoint.arn], detail)
