"""The review as plain text, all of it: nothing is left out or folded but values, which are shortened."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from quant_llm_tools.review.markdown import headline
from quant_llm_tools.review.model import ChangeClass, Drift, Review
from quant_llm_tools.review.tables import (
    COST_HEAD,
    FIT_HEAD,
    Row,
    cost_rows,
    cost_sentence,
    fit_rows,
    unknowns,
)
from quant_llm_tools.review.values import Difference, differences, visible
from quant_llm_tools.review.verdict import Exit, Judged, Verdict

WIDTH = 100


def terminal(review: Review, verdict: Verdict) -> str:
    """The text, in at most WIDTH columns where words allow it, the same with and without a TTY."""
    parts = [
        [headline(verdict), *_refusals(verdict)],
        _wrapped(["" if verdict.exit is Exit.REFUSED else cost_sentence(review.cost), *review.notes]),
        *_changes(verdict),
        list(_table("Cost, US dollars a month", COST_HEAD, cost_rows(review.cost))),
        list(_table("GPU memory", FIT_HEAD, fit_rows(review.fit))),
        _wrapped(f"{name}: {why}" for name, why in unknowns(review)),
        list(_drift(review.drift)),
        _wrapped([*verdict.stale, _gate(verdict)]),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _refusals(verdict: Verdict) -> Iterator[str]:
    for one in verdict.judged:
        if one.change.change_class is ChangeClass.REFUSED:
            yield from (f"  {visible(line)}" for line in one.change.summary.splitlines() if line.strip())


def _changes(verdict: Verdict) -> Iterator[list[str]]:
    for change_class, group in groupby(verdict.judged, key=lambda one: one.change.change_class):
        said: set[str] = set()
        if change_class is not ChangeClass.REFUSED:
            yield from (list(_change(one, said)) for one in group)


def _change(judged: Judged, said: set[str]) -> Iterator[str]:
    """`said` is what the class has said already: why it matters and what happens is told once."""
    change = judged.change
    mark = " [needs an approval]" if judged.blocks else ""
    yield from _wrapped([f"{change.change_class}{mark}: {change.summary}"])
    yield from _wrapped([f"in {', '.join(change.stacks)}: {change.resource}"], "  ")
    yield from _wrapped([one for one in (change.why, change.effect) if one not in said], "  ")
    said |= {change.why, change.effect}
    yield from (f"    {_difference(one)}" for one in differences(change.before, change.after))
    for approval in judged.approvals:
        yield from _wrapped([f"approved: {approval.reason} ({approval.place})"], "  ")


def _difference(one: Difference) -> str:
    place = visible(f"{one.place}: " if one.place else "")
    if one.before is None and one.after is None:
        return visible(one.place)
    if one.before is None:
        return f"{place}added {one.after}"
    if one.after is None:
        return f"{place}removed {one.before}"
    return f"{place}{one.before} -> {one.after}"


def _table(title: str, head: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    yield title
    lines = [tuple(head), *((visible(row.name), *map(visible, row.cells)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line, warning in zip(lines, ["", *(row.warning for row in rows)], strict=True):
        name, *cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        yield f"  {name}  {'  '.join(cells)}{f'  ! {warning}' if warning else ''}".rstrip()


def _drift(drift: Iterable[Drift] | None) -> Iterator[str]:
    found = list(drift or ())
    if found:
        yield "Drift: changed outside of CloudFormation, and not changed back by a deploy"
    for one in found:
        yield from _wrapped([f"{one.stack} {one.resource}: {one.status}"], "  ")
        for place, expected, actual in one.differences:
            yield f"    {_difference(Difference(place, visible(expected), visible(actual)))}"


def _gate(verdict: Verdict) -> str:
    if verdict.exit is not Exit.BLOCKED:
        return ""
    blocking = sum(one.blocks for one in verdict.judged)
    return f"{blocking} of these need an approval in .quantllm-review.yaml"


def _wrapped(sentences: Iterable[str], indent: str = "") -> list[str]:
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(
            visible(sentence),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
