"""Hosting prices from the AWS Price List API.

One query a region: service AmazonSageMaker, component Hosting. Each product is a JSON text; its instance type
is `product.attributes.instanceName` (`instanceType` has "-hosting" at its end), its price the one of the
on-demand term's dimension in hours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from quant_llm.errors import QuantLlmError

API_REGION = "us-east-1"
"""The Price List API is in a few regions only; this one answers for all of the partition."""

_SERVICE = "AmazonSageMaker"
_COMPONENT = "Hosting"
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}

Json = Any


class PriceSource(Protocol):
    """Where products come from."""

    @property
    def place(self) -> str | None:
        """The address of a source that isn't AWS; None for AWS itself."""
        ...

    def products(self, region: str) -> Iterable[Json]:
        """The products of SageMaker hosting in a region; QuantLlmError when it does not answer."""
        ...


class AwsPriceList:
    """The API, by boto3 with the credentials of the environment."""

    def __init__(self) -> None:
        # The commands that need no AWS need not wait for these.
        import boto3
        from botocore.config import Config

        patience = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard"})
        self._client = boto3.Session().client("pricing", region_name=API_REGION, config=patience)

    @property
    def place(self) -> str | None:
        """The endpoint, unless it is one of AWS's own."""
        from urllib.parse import urlsplit

        url: str = self._client.meta.endpoint_url
        host = urlsplit(url).hostname or ""
        return None if host.endswith((".amazonaws.com", ".api.aws")) else url

    def products(self, region: str) -> Iterator[Json]:
        """All pages of a region."""
        from botocore.exceptions import BotoCoreError, ClientError

        pages = self._client.get_paginator("get_products").paginate(
            ServiceCode=_SERVICE,
            FormatVersion="aws_v1",
            Filters=[
                {"Type": "TERM_MATCH", "Field": "regionCode", "Value": region},
                {"Type": "TERM_MATCH", "Field": "component", "Value": _COMPONENT},
            ],
        )
        try:
            for page in pages:
                yield from map(json.loads, page["PriceList"])
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            denied = " is denied: allow it, or take other credentials"
            said = denied if code in _DENIED else f": {code}: {message}"
            raise QuantLlmError(f"{region}: pricing:GetProducts{said}") from None
        except BotoCoreError as error:
            raise QuantLlmError(f"{region}: pricing:GetProducts: {error}") from None


def hosting_prices(products: Iterable[Json], wanted: Iterable[str]) -> tuple[dict[str, float], list[str]]:
    """US dollars an hour of each wanted type, and a sentence for each that has not just one price."""
    found: dict[str, set[Decimal]] = {name: set() for name in wanted}
    for product in products:
        attributes = product.get("product", {}).get("attributes", {})
        name = attributes.get("instanceName")
        if attributes.get("component") == _COMPONENT and name in found:
            found[name].update(_hourly(product))
    problems = []
    for name, prices in sorted(found.items()):
        if not prices:
            problems.append(f"{name}: no on-demand price of hosting by the hour")
        elif len(prices) > 1:
            several = ", ".join(f"${price}" for price in sorted(prices))
            problems.append(f"{name}: several prices of hosting by the hour: {several}")
    return {name: float(next(iter(prices))) for name, prices in found.items() if len(prices) == 1}, problems


def _hourly(product: Json) -> Iterator[Decimal]:
    """The prices above nothing: a dimension for what is free is no price of an instance."""
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            try:
                usd = Decimal(dimension.get("pricePerUnit", {}).get("USD", "0"))
            except InvalidOperation:
                continue
            if dimension.get("unit") == "Hrs" and usd > 0:
                yield usd.normalize()
