"""How artifacts are shown: a table for people, a document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quant_llm.names import ARCHIVE
from quant_llm_tools.artifacts.inventory import Holding

if TYPE_CHECKING:
    from quant_llm_tools.artifacts.command import AgencyArtifacts

_SHOWN_DIGITS = 12  # of the digest
_FORMAT_WIDTH = len(ARCHIVE)


def text(found: Sequence[AgencyArtifacts]) -> str:
    """A line for each agency, followed by one for each of its artifacts."""
    lines: list[str] = []
    for one in found:
        agency = one.agency
        place = f"account {agency.environment.account} in {agency.environment.region}"
        if one.bucket is None:
            lines.append(f"{agency.agency}: stack {agency.stack_name} is not deployed to {place}")
            continue
        total = size_text(sum(holding.artifact.bytes for holding in one.holdings))
        lines.append(
            f"{agency.agency}: {count(len(one.holdings), 'artifact')}, {total}, in s3://{one.bucket}, {place}"
        )
        width = max((len(holding.artifact.model) for holding in one.holdings), default=0)
        lines += [f"  {_line(holding, width)}" for holding in one.holdings]
    return "\n".join(lines)


def _line(holding: Holding, width: int) -> str:
    artifact = holding.artifact
    needed = (["lock"] if holding.is_locked else []) + [f"endpoint {name}" for name in holding.endpoints]
    if not needed:
        needed = ["recent" if holding.is_recent else "unused"]
    return (
        f"{artifact.model:{width}}  {artifact.digest[:_SHOWN_DIGITS]}  {artifact.format:{_FORMAT_WIDTH}}  "
        f"{size_text(artifact.bytes):>9}  "
        f"{artifact.modified:%Y-%m-%d}  {', '.join(needed)}"
    )


def document(found: Sequence[AgencyArtifacts], *, freed_bytes: int | None = None) -> dict[str, Any]:
    """The same for `--json`; with `freed_bytes`, the artifacts are those that were removed."""
    agencies = [
        {
            "agency": one.agency.agency,
            "stack": one.agency.stack_name,
            "bucket": one.bucket,
            "artifacts": [
                {
                    "model": holding.artifact.model,
                    "digest": holding.artifact.digest,
                    "format": holding.artifact.format,
                    "bytes": holding.artifact.bytes,
                    "modified": holding.artifact.modified.isoformat(),
                    "locked": holding.is_locked,
                    "endpoints": list(holding.endpoints),
                    "can_go": holding.can_go,
                }
                for holding in one.holdings
            ],
        }
        for one in found
    ]
    return (
        {"agencies": agencies} if freed_bytes is None else {"agencies": agencies, "freed_bytes": freed_bytes}
    )


def size_text(size: int) -> str:
    """Bytes in the decimal unit that people read them in.

    >>> size_text(42_520_000_000)
    '42.5 GB'
    """
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


def count(number: int, what: str) -> str:
    """A number of things, in the singular or the plural."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
