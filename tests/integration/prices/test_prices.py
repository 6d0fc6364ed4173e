"""`quantllm prices refresh` against the Price List API of the embedded AWS, as it is run by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quant_llm.catalogue import Price, PriceList, load_catalogue, usd_per_hour
from quant_llm_tools.cli import main
from quant_llm_tools.local_aws import price_list
from quant_llm_tools.local_aws.server import LocalAws
from quant_llm_tools.prices.document import Refreshed
from tests.integration.local_aws.account import Account

Json = Any
REGION = "us-east-1"
HOSTED = [one.instance_type for one in load_catalogue().hosted_in(REGION)]


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with LocalAws() as aws:
        account = Account(aws)
        yield account
        account.close()


@pytest.fixture(autouse=True)
def _environment(account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in account.aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def sell(monkeypatch: pytest.MonkeyPatch, products: list[Json]) -> None:
    monkeypatch.setattr(price_list, "bundled_products", lambda: iter(products))


def of_all(usd: float = 2.0) -> list[Json]:
    return [
        price_list.product(Price(name, REGION, usd, "published", "2026-11-23", "made up")) for name in HOSTED
    ]


def refresh(*arguments: str) -> int:
    return main(["prices", "refresh", "--output", "prices.json", *arguments])


def test_every_page_is_read_and_the_file_is_what_the_api_says(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = [
        price_list.product(Price(f"ml.other{number}", REGION, 9.0, "published", "", ""))
        for number in range(250)
    ]
    sell(monkeypatch, noise + of_all())
    assert refresh("--json") == 0
    refreshed = Refreshed.model_validate_json(capsys.readouterr().out)
    assert refreshed.source == account.aws.endpoint_url
    assert (refreshed.read, refreshed.written) == (len(HOSTED), True)
    written = PriceList.read(Path("prices.json"))
    assert written.prices == {REGION: dict.fromkeys(HOSTED, 2.0)}

    assert refresh("--check") == 0
    assert "up to date" in capsys.readouterr().out
    sell(monkeypatch, of_all(2.5))
    assert refresh("--check") == 1
    assert "+25.0 %" in capsys.readouterr().out
    assert PriceList.read(Path("prices.json")) == written


def test_the_products_own_file_is_not_for_the_embedded_awss_prices(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sell(monkeypatch, of_all())
    assert main(["prices", "refresh"]) == 1
    assert f"from {account.aws.endpoint_url} and not from AWS" in capsys.readouterr().err


def test_what_the_catalogue_does_not_know_is_missing_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert refresh() == 1
    told = capsys.readouterr().err.splitlines()
    unknown = sorted(name for name in HOSTED if usd_per_hour(name, REGION) is None)
    assert told == [f"{REGION}: {name}: no on-demand price of hosting by the hour" for name in unknown]
    assert not Path("prices.json").exists()


def test_two_prices_of_one_type_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sell(monkeypatch, of_all() + of_all(3.0)[:1])
    assert refresh() == 1
    assert capsys.readouterr().err == (
        f"{REGION}: {HOSTED[0]}: several prices of hosting by the hour: $2, $3\n"
    )


def test_a_refusal_names_the_action(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> Iterator[Json]:
        raise price_list.ApiError("AccessDeniedException", "not you")

    monkeypatch.setattr(price_list, "bundled_products", refuse)
    assert refresh("--json") == 1
    assert "pricing:GetProducts is denied" in json.loads(capsys.readouterr().out)["error"]


def test_the_stand_in_says_that_it_is_one_and_where_each_price_comes_from(account: Account) -> None:
    page = account.client("pricing").get_products(
        ServiceCode="AmazonSageMaker",
        FormatVersion="aws_v1",
        Filters=[{"Type": "TERM_MATCH", "Field": "instanceName", "Value": "ml.g5.xlarge"}],
    )
    (item,) = map(json.loads, page["PriceList"])
    assert item["version"] == "embedded AWS"
    assert "from the bundled catalogue: published" in item["product"]["attributes"]["servicename"]
    assert item["product"]["attributes"]["instanceType"] == "ml.g5.xlarge-hosting"
    assert "NextToken" not in page


def test_a_page_has_no_more_than_was_asked_for(account: Account) -> None:
    pages = account.client("pricing").get_paginator("get_products")
    asked = {"ServiceCode": "AmazonSageMaker", "PaginationConfig": {"PageSize": 7}}
    sizes = [len(page["PriceList"]) for page in pages.paginate(**asked)]
    assert set(sizes[:-1]) == {7}
    assert sum(sizes) == len(list(price_list.bundled_products()))


@pytest.mark.parametrize(
    ("operation", "given", "code"),
    [
        ("describe_services", {}, "ValidationException"),
        ("get_products", {"ServiceCode": "AmazonSageMaker", "NextToken": "x"}, "InvalidNextTokenException"),
        (
            "get_products",
            {
                "ServiceCode": "AmazonSageMaker",
                "Filters": [{"Type": "CONTAINS", "Field": "component", "Value": "Host"}],
            },
            "InvalidParameterException",
        ),
    ],
)
def test_what_the_stand_in_does_not_do_is_an_error(
    account: Account, operation: str, given: dict[str, Json], code: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(account.client("pricing"), operation)(**given)
    assert caught.value.response["Error"]["Code"] == code


def test_another_services_products_are_none(account: Account) -> None:
    assert account.client("pricing").get_products(ServiceCode="AmazonEC2")["PriceList"] == []
