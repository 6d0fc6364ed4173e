"""Service Quotas of SageMaker's endpoints, of which moto knows none."""

from __future__ import annotations

import json
from typing import Any

from moto.servicequotas.responses import ServiceQuotasResponse

from quant_llm.catalogue import load_catalogue
from quant_llm_tools.local_aws.cloud import Seam

Json = Any

ENDPOINT_QUOTA = 20
"""Instances of each type that the region hosts. AWS gives a new account fewer, often none."""

_SAGEMAKER = "sagemaker"


def seams() -> list[Seam]:
    """moto has the defaults of VPCs, and no list of what applies to an account."""
    list_defaults = ServiceQuotasResponse.list_aws_default_service_quotas

    def list_aws_default_service_quotas(response: ServiceQuotasResponse) -> str:
        if _service(response) != _SAGEMAKER:
            return list_defaults(response)
        return json.dumps({"Quotas": _quotas(response)})

    def list_service_quotas(response: ServiceQuotasResponse) -> str:
        # Nobody has had one changed.
        return list_aws_default_service_quotas(response)

    return [
        (ServiceQuotasResponse, "list_aws_default_service_quotas", list_aws_default_service_quotas),
        (ServiceQuotasResponse, "list_service_quotas", list_service_quotas),
    ]


def _service(response: ServiceQuotasResponse) -> str:
    return str(json.loads(response.body).get("ServiceCode"))


def _quotas(response: ServiceQuotasResponse) -> list[Json]:
    return [
        {
            "ServiceCode": _SAGEMAKER,
            "ServiceName": "Amazon SageMaker",
            "QuotaName": f"{one.instance_type} for {use} usage",
            "Value": float(value),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
        for one in load_catalogue().hosted_in(response.region)
        for use, value in (("endpoint", ENDPOINT_QUOTA), ("training job", 0))
    ]
