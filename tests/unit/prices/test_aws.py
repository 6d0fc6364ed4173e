"""What the Price List API's answers come to: pages, none, several, refusals. No network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.stub import Stubber

from quant_llm.errors import QuantLlmError
from quant_llm_tools.prices.aws import AwsPriceList, hosting_prices

Json = Any
FILTERS = [
    {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"},
    {"Type": "TERM_MATCH", "Field": "component", "Value": "Hosting"},
]


def product(name: str, *usd: str, component: str = "Hosting", unit: str = "Hrs") -> Json:
    dimensions = {f"{index}": {"unit": unit, "pricePerUnit": {"USD": one}} for index, one in enumerate(usd)}
    return {
        "product": {
            "attributes": {
                "instanceName": name,
                "instanceType": f"{name}-hosting",
                "component": component,
                "regionCode": "us-east-1",
            }
        },
        "terms": {"OnDemand": {"term": {"priceDimensions": dimensions}}},
    }


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_PRICING", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[AwsPriceList, Stubber]]:
    clients: list[Any] = []
    make = boto3.Session.client

    def client(session: boto3.Session, *names: Any, **options: Any) -> Any:
        clients.append(make(session, *names, **options))
        return clients[-1]

    monkeypatch.setattr(boto3.Session, "client", client)
    source = AwsPriceList()
    with Stubber(clients[0]) as stubber:
        yield source, stubber


def page(*products: Json, following: str | None = None) -> Json:
    answer: Json = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(one) for one in products]}
    return answer | ({"NextToken": following} if following else {})


def test_all_pages_of_a_region_are_read(api: tuple[AwsPriceList, Stubber]) -> None:
    source, stubber = api
    asked = {"ServiceCode": "AmazonSageMaker", "FormatVersion": "aws_v1", "Filters": FILTERS}
    stubber.add_response("get_products", page(product("ml.a", "1"), following="2"), asked)
    stubber.add_response("get_products", page(product("ml.b", "2")), asked | {"NextToken": "2"})
    prices, problems = hosting_prices(source.products("us-east-1"), ["ml.a", "ml.b"])
    assert (prices, problems) == ({"ml.a": 1.0, "ml.b": 2.0}, [])
    stubber.assert_no_pending_responses()


def test_a_denied_query_names_the_action(api: tuple[AwsPriceList, Stubber]) -> None:
    source, stubber = api
    stubber.add_client_error("get_products", "AccessDeniedException", "not you")
    with pytest.raises(QuantLlmError, match=r"^us-east-1: pricing:GetProducts is denied: allow it"):
        list(source.products("us-east-1"))


def test_another_error_is_told_as_it_is(api: tuple[AwsPriceList, Stubber]) -> None:
    source, stubber = api
    stubber.add_client_error("get_products", "InvalidParameterException", "sorry")
    with pytest.raises(QuantLlmError, match=r"GetProducts: InvalidParameterException: sorry$"):
        list(source.products("us-east-1"))


@pytest.mark.parametrize(
    "error", [NoCredentialsError(), ClientError({"Error": {"Code": "X"}}, "GetProducts")]
)
def test_no_error_of_boto3_comes_through(
    api: tuple[AwsPriceList, Stubber], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Broken:
        def get_paginator(self, _operation: str) -> Any:
            return self

        def paginate(self, **_given: Json) -> Iterator[Json]:
            def page(_number: int) -> Json:
                raise error

            return map(page, range(1))

    source, _ = api
    monkeypatch.setattr(source, "_client", Broken())
    with pytest.raises(QuantLlmError, match="us-east-1: pricing:GetProducts"):
        list(source.products("us-east-1"))


def test_awss_own_address_is_no_place_of_its_own(api: tuple[AwsPriceList, Stubber]) -> None:
    assert api[0].place is None


def test_an_address_that_is_not_awss_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    assert AwsPriceList().place == "http://localhost:1"


def test_none_and_several_are_problems_by_name_and_the_same_price_twice_is_one() -> None:
    products = [
        product("ml.twice", "1.4080000000"),
        product("ml.twice", "1.408"),
        product("ml.several", "1", "2.50"),
        product("ml.free", "0.0000000000"),
        product("ml.free-hours", "0", "3"),
        product("ml.broken", "many"),
        product("ml.monthly", "5", unit="Mo"),
        product("ml.training", "6", component="Training"),
        product("ml.nobody-asked", "7"),
        {"product": {"attributes": {"instanceName": "ml.reserved", "component": "Hosting"}}, "terms": {}},
    ]
    wanted = ["twice", "several", "free", "free-hours", "broken", "monthly", "training", "reserved"]
    prices, problems = hosting_prices(products, [f"ml.{name}" for name in wanted])
    assert prices == {"ml.twice": 1.408, "ml.free-hours": 3.0}
    assert problems == [
        *(f"ml.{name}: no on-demand price of hosting by the hour" for name in ("broken", "free", "monthly")),
        "ml.reserved: no on-demand price of hosting by the hour",
        "ml.several: several prices of hosting by the hour: $1, $2.5",
        "ml.training: no on-demand price of hosting by the hour",
    ]
