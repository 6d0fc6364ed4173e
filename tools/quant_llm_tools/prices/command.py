"""`quantllm prices`: shows what instances cost, and reads it anew from AWS's price list."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quant_llm.errors import QuantLlmError
from quant_llm_tools.agencies import DEFAULT_DIRECTORY

if TYPE_CHECKING:
    from quant_llm.catalogue import PriceList
    from quant_llm_tools.prices.aws import PriceSource

_REFRESH = """
Reads SageMaker's on-demand prices of hosting from the AWS Price List API (pricing:GetProducts), shows what
changes, and writes them to the file that plan, auto and synth read: commit it, so that a pull request shows
the change. All regions of the file are read again, with those of ./agencies, us-east-1 and any --region. A
type with no price, or several, is an error, and nothing is written then.
"""


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _source() -> PriceSource:
    from quant_llm_tools.prices.aws import AwsPriceList

    return AwsPriceList()


@dataclass(frozen=True)
class Tools:
    """The world outside of the command; a test gives its own."""

    source: Callable[[], PriceSource] = _source
    today: Callable[[], str] = _today


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `prices` and `prices refresh`."""
    parser = subparsers.add_parser(
        "prices",
        help="show instance prices, read them from AWS",
        description="Shows the price of each instance type by region, with its date and basis. Offline.",
    )
    parser.add_argument("--region", action="append", metavar="REGION", help="only this region; repeatable")
    parser.add_argument("--json", action="store_true", help="print one JSON document, of all regions")
    parser.set_defaults(run=show)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    refreshing = actions.add_parser(
        "refresh", help="read AWS's price list and write the file", description=_REFRESH
    )
    refreshing.add_argument(
        "--region", action="append", metavar="REGION", help="read this region too; repeatable"
    )
    refreshing.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="another file than the one that the product reads",
    )
    refreshing.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 when the file is not up to date"
    )
    refreshing.add_argument("--json", action="store_true", help="print one JSON document")
    refreshing.set_defaults(run=refresh)


def show(arguments: argparse.Namespace) -> int:
    """Print the prices that are known."""
    from quant_llm_tools.prices.document import hosting_regions, known_prices
    from quant_llm_tools.prices.text import prices_text

    every = arguments.region or hosting_regions()
    for region in every:
        _check_region(region, hosting_regions())
    prices = known_prices(tuple(dict.fromkeys(every)))
    if arguments.json:
        print(prices.model_dump_json(indent=2))
    else:
        print(prices_text(prices, every=arguments.region is not None))
    return 0


def refresh(arguments: argparse.Namespace, tools: Tools | None = None) -> int:
    """Read the prices, print the changes, write the file; returns the exit code."""
    from quant_llm.catalogue import PRICE_LIST, PriceList, load_price_list
    from quant_llm_tools.prices.document import PriceChange, Refreshed, hosting_regions
    from quant_llm_tools.prices.refresh import YARDSTICK, changes, read_prices, same_prices, write
    from quant_llm_tools.prices.text import refreshed_text

    tools = tools or Tools()
    path: Path = arguments.output or PRICE_LIST
    before = PriceList.read(path) if path.exists() else None
    regions = sorted({YARDSTICK, *(arguments.region or ()), *_regions_of(before), *_regions_of_agencies()})
    for region in regions:
        _check_region(region, hosting_regions())
    source = tools.source()
    if source.place and path == PRICE_LIST:
        raise QuantLlmError(
            f"the prices would come from {source.place} and not from AWS: they don't belong into {path}; "
            "name another file by --output"
        )
    after = read_prices(source, regions, tools.today())
    found = changes(before, after)
    up_to_date = same_prices(before, after)
    written = not up_to_date and not arguments.check
    if written:
        write(path, after)
        load_price_list.cache_clear()
    refreshed = Refreshed(
        file=str(path),
        source=source.place,
        as_of=after.as_of,
        regions=tuple(regions),
        read=sum(map(len, after.prices.values())),
        up_to_date=up_to_date,
        written=written,
        changes=tuple(map(PriceChange.of, found)),
    )
    print(refreshed.model_dump_json(indent=2) if arguments.json else refreshed_text(refreshed))
    return 0 if written or up_to_date else 1


def _regions_of(price_list: PriceList | None) -> Iterable[str]:
    return price_list.prices if price_list else ()


def _regions_of_agencies() -> set[str]:
    """The regions that ./agencies deploys to; files with errors say so elsewhere, and count as none here."""
    from quant_llm.agency import find_agency_files, read_agency

    files = map(read_agency, find_agency_files(DEFAULT_DIRECTORY)) if DEFAULT_DIRECTORY.is_dir() else ()
    return {file.config.environment.region for file in files if file.config is not None}


def _check_region(region: str, known: tuple[str, ...]) -> None:
    from quant_llm.agency.problems import nearest

    if region not in known:
        near = nearest(region, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise QuantLlmError(f"got the region {region!r}, expected one in which SageMaker hosts GPUs{hint}")
