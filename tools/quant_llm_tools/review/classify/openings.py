"""Security groups that let the Internet in."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any, Final

from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.words import text_of

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TYPES: Final = ("AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress")


def openings(comparison: Comparison) -> Iterator[tuple[str, str, Any]]:
    """The logical id, what it is open to, and the rule, of each that is new."""
    for logical_id in comparison.after.of_type(*_TYPES):
        old = list(_open_rules(comparison.before.properties(logical_id), comparison.before))
        for addresses, rule in _open_rules(comparison.after.properties(logical_id), comparison.after):
            if (addresses, rule) not in old:
                what = "every address" if addresses.prefixlen == 0 else f"addresses ({addresses})"
                yield logical_id, f"open to {what} of the Internet", rule


def _open_rules(value: Any, side: StackSide) -> Iterator[tuple[_Network, Any]]:
    """The rules of a group for what comes in, wherever in the value, that are for public addresses."""
    if isinstance(value, list):
        for one in value:
            yield from _open_rules(one, side)
    elif isinstance(value, Mapping):
        for name in ("CidrIp", "CidrIpv6"):
            addresses = _network(text_of(value[name], side)) if name in value else None
            if addresses is not None and not addresses.is_private:
                yield addresses, value
        for name, one in value.items():
            if name != "SecurityGroupEgress":
                yield from _open_rules(one, side)


def _network(text: str) -> _Network | None:
    """The addresses; None where only the deploy knows them."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
