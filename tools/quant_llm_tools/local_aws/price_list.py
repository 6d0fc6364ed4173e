"""The Price List API in front of moto, which lacks it: `GetProducts` of SageMaker hosting, in pages.

The form is AWS's; the content is the bundled catalogue's, estimates included, and says so: `version` is none
of AWS's, and each product's `servicename` names the source of its price. A type whose price the catalogue
doesn't know is not there.
"""

from __future__ import annotations

import http
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from quant_llm.catalogue import Price, PriceList, load_catalogue, usd_per_hour

Json = Any
Application = Callable[..., Iterable[bytes]]

VERSION = "embedded AWS"

_TARGET = "AWSPriceListService."
_MOST_RESULTS = 100
_SERVICE, _COMPONENT = "AmazonSageMaker", "Hosting"
# The last price list that was read from AWS is nothing that this one may repeat as its own.
_NONE_READ = PriceList(as_of="", prices={})


class ApiError(Exception):
    """An error of the API: `code` names the exception that boto3 raises."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def middleware(app: Application) -> Application:
    """Answer the Price List API's requests, and hand everything else on to `app`."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        target: str = environ.get("HTTP_X_AMZ_TARGET", "")
        if not target.startswith(_TARGET):
            return app(environ, start_response)
        request = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        status = http.HTTPStatus.OK
        try:
            body = _answer(target.removeprefix(_TARGET), request)
        except ApiError as error:
            status = http.HTTPStatus.BAD_REQUEST
            body = {"__type": error.code, "Message": str(error)}
        content = json.dumps(body).encode()
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(content)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [content]

    return answer


def _answer(action: str, request: Json) -> Json:
    if action != "GetProducts":
        raise ApiError("ValidationException", f"the embedded AWS does not do pricing {action}")
    wanted = {one["Field"]: one["Value"] for one in request.get("Filters", ())}
    if any(one["Type"] != "TERM_MATCH" for one in request.get("Filters", ())):
        raise ApiError("InvalidParameterException", "the embedded AWS matches by TERM_MATCH alone")
    found = [
        product
        for product in (bundled_products() if request["ServiceCode"] == _SERVICE else ())
        if all(product["product"]["attributes"].get(name) == value for name, value in wanted.items())
    ]
    start = request.get("NextToken", "0")
    if not start.isdecimal():
        raise ApiError("InvalidNextTokenException", f"no page begins at {start!r}")
    end = int(start) + min(request.get("MaxResults", _MOST_RESULTS), _MOST_RESULTS)
    page = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(one) for one in found[int(start) : end]]}
    return page | ({"NextToken": str(end)} if end < len(found) else {})


def bundled_products() -> Iterator[Json]:
    """A product for each type and region whose price the catalogue knows."""
    for instance in load_catalogue().instances:
        for region in instance.hosting_regions:
            price = usd_per_hour(instance.instance_type, region, price_list=_NONE_READ)
            if price:
                yield product(price)


def product(price: Price) -> Json:
    """A price as the API tells it."""
    sku = f"{price.region}.{price.instance_type}"
    dimension = {
        "unit": "Hrs",
        "pricePerUnit": {"USD": f"{price.usd_per_hour:.10f}"},
        "description": f"${price.usd_per_hour} per {price.instance_type}-hour ({price.basis})",
    }
    return {
        "product": {
            "productFamily": "ML Instance",
            "sku": sku,
            "attributes": {
                "servicecode": _SERVICE,
                "servicename": f"{VERSION}, from the bundled catalogue: {price.basis}, {price.note}",
                "regionCode": price.region,
                "component": _COMPONENT,
                "instanceName": price.instance_type,
                "instanceType": f"{price.instance_type}-hosting",
            },
        },
        "serviceCode": _SERVICE,
        "terms": {"OnDemand": {f"{sku}.term": {"priceDimensions": {f"{sku}.term.hours": dimension}}}},
        "version": VERSION,
        "publicationDate": f"{load_catalogue().compiled}T00:00:00Z",
    }
