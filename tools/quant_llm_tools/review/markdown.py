"""The review as one comment of a pull request: what is worst comes first, and what does nothing is folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from quant_llm_tools.review.markup import cell, code, prose
from quant_llm_tools.review.model import Change, ChangeClass, Drift, Review
from quant_llm_tools.review.tables import (
    ABSENT,
    COST_HEAD,
    FIT_HEAD,
    UNKNOWN,
    Row,
    cost_rows,
    cost_sentence,
    fit_rows,
    unknowns,
)
from quant_llm_tools.review.values import Difference, differences
from quant_llm_tools.review.verdict import Exit, Judged, Verdict

MOST_CHARACTERS: Final = 60_000
"""GitHub takes 65,536 in a comment."""

MARKER: Final = "<!-- quantllm-review -->"
"""The first line: how the comment is found again, to be changed in place of a second one."""

MOST_STACKS: Final = 12
MOST_OPEN: Final = 4
LONGEST_NAME: Final = 80

# Characters that parts beside the changes may have, together less than there are.
_REFUSALS, _NOTES, _TABLE, _FOLDED_TABLE, _UNKNOWNS, _DRIFT, _NO_EFFECT = (
    12_000, 3_000, 7_000, 4_000, 4_000, 6_000, 6_000
)  # fmt: skip

_SIGNS: Final = (
    ("⛔", (ChangeClass.REFUSED,)),
    ("🔴", (ChangeClass.ENDPOINT_REPLACED, ChangeClass.STATEFUL_REMOVED)),
    ("🟠", (ChangeClass.PERMISSIONS_BROADENED, ChangeClass.PROTECTION_WEAKENED)),
    (
        "🟡",
        (
            ChangeClass.WEIGHTS_CHANGED,
            ChangeClass.IMAGE_CHANGED,
            ChangeClass.INSTANCE_CHANGED,
            ChangeClass.SCALING_CHANGED,
            ChangeClass.ENDPOINT_ROLLS,
        ),
    ),
)


def markdown(review: Review, verdict: Verdict, footer: str = "") -> str:
    """The comment, at most MOST_CHARACTERS long: the most severe changes are kept, the others counted.

    `footer` is a short line of Markdown below it.
    """
    told = [one for one in verdict.judged if one.change.change_class is not ChangeClass.REFUSED]
    effective = [one for one in told if one.change.change_class is not ChangeClass.NO_EFFECT]
    quiet = [one.change for one in told if one.change.change_class is ChangeClass.NO_EFFECT]
    head = "\n".join([MARKER, *_head(review, verdict)])
    tail = "\n".join([*_tables(review), *_drift(review.drift), *_quiet(quiet)])
    tail += f"\n\n{footer}" if footer else ""
    blocks = list(_blocks(effective))
    room = MOST_CHARACTERS - len(head) - len(tail) - len(_left_out(effective)) - 10
    kept = 0
    while kept < len(blocks) and len(blocks[kept]) + 1 <= room:
        room -= len(blocks[kept]) + 1
        kept += 1
    rest = [_left_out(effective[kept:])] if kept < len(blocks) else []
    return "\n".join(part for part in (head, *blocks[:kept], *rest, tail) if part) + "\n"


def headline(verdict: Verdict) -> str:
    """The review in one line of plain words, its worst class first."""
    classes = Counter(one.change.change_class for one in verdict.judged)
    quiet = classes.pop(ChangeClass.NO_EFFECT, 0)
    if ChangeClass.REFUSED in classes:
        return "Refused: nothing of this can be deployed"
    if not classes:
        return "No infrastructure change" + (f" ({quiet} without effect)" if quiet else "")
    counted = sorted(classes.items(), key=lambda item: item[0].severity)
    return "Infrastructure changes: " + ", ".join(f"{count} {one}" for one, count in counted)


def sign(change_class: ChangeClass) -> str:
    """How bad it is at a glance."""
    return next((sign for sign, classes in _SIGNS if change_class in classes), "⚪")


def _head(review: Review, verdict: Verdict) -> Iterator[str]:
    worst = min((one.change.change_class for one in verdict.judged), key=_severity, default=None)
    yield f"## {sign(worst) if worst and worst is not ChangeClass.NO_EFFECT else '✅'} {headline(verdict)}"
    for one in verdict.judged:
        if one.change.change_class is ChangeClass.REFUSED:
            yield ""
            lines = [line for line in one.change.summary.splitlines() if line.strip()]
            yield from _within(_REFUSALS, [f"- {prose(line)}" for line in lines])
    # What can't be deployed costs nothing.
    sentences = ["" if verdict.exit is Exit.REFUSED else cost_sentence(review.cost), _gate(verdict)]
    if any(sentences):
        yield ""
        yield " ".join(filter(None, sentences))
    if review.notes:
        yield ""
        yield from _within(_NOTES, [f"- **Note:** {prose(note)}" for note in review.notes])


def _within(room: int, lines: Sequence[str], more: str = "- and {} more") -> Iterator[str]:
    """The lines that fit into so many characters, and how many more there are."""
    for position, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            yield more.format(len(lines) - position)
            return
        yield line


def _severity(change_class: ChangeClass) -> int:
    return change_class.severity


def _gate(verdict: Verdict) -> str:
    blocking = sum(one.blocks for one in verdict.judged)
    approved = sum(bool(one.approvals) for one in verdict.judged)
    if verdict.exit is Exit.BLOCKED:
        changes = "1 change needs" if blocking == 1 else f"{blocking} changes need"
        return f"**The check fails: {changes} an approval, marked ✋.**"
    return f"{approved} approved, marked ✔." if approved and verdict.exit is Exit.PASSED else ""


def _blocks(judged: Sequence[Judged]) -> Iterator[str]:
    """One block of text for each change; a class's heading is with its first."""
    for change_class, group in groupby(judged, key=lambda one: one.change.change_class):
        said: set[str] = set()
        for position, one in enumerate(group):
            heading = [] if position else ["", f"### {sign(change_class)} {change_class}"]
            yield "\n".join([*heading, *_block(one, said)])


def _block(judged: Judged, said: set[str]) -> Iterator[str]:
    """`said` is what the class has said already: why it matters and what happens is told once."""
    change = judged.change
    mark = " ✋" if judged.blocks else " ✔" if judged.approvals else ""
    yield f"- **{prose(change.summary)}**{mark} in {_where(change)}"
    for label, sentence in (("Why it matters", change.why), ("At deploy", change.effect)):
        if sentence and sentence not in said:
            said.add(sentence)
            yield f"  - {label}: {prose(sentence)}"
    found = [f"  - {_difference(one)}" for one in differences(change.before, change.after)]
    # What is all new or all gone is in the summary: its parts are for those who look closer.
    fold = len(found) > MOST_OPEN or (len(found) > 1 and None in (change.before, change.after))
    yield from _folded(f"{len(found)} details", found, "  ") if fold else found
    for approval in judged.approvals[:MOST_STACKS]:
        new = ", **new in this change**" if approval.new else ""
        yield f"  - Approved: {prose(approval.reason)} ({code(approval.place, LONGEST_NAME)}{new})"


def _where(change: Change) -> str:
    stacks = ", ".join(code(stack, LONGEST_NAME) for stack in change.stacks[:MOST_STACKS])
    more = f" and {len(change.stacks) - MOST_STACKS} more" if len(change.stacks) > MOST_STACKS else ""
    resource = f": {code(change.resource)}" if change.resource else ""
    count = f"{len(change.stacks)} stacks, " if len(change.stacks) > 1 else ""
    return f"{count}{stacks}{more}{resource}"


def _difference(one: Difference) -> str:
    place = f"{code(one.place)}: " if one.place else ""
    if one.before is None and one.after is None:
        return prose(one.place)
    if one.before is None:
        return f"{place}added {code(one.after or '')}"
    if one.after is None:
        return f"{place}removed {code(one.before)}"
    return f"{place}{code(one.before)} → {code(one.after)}"


def _left_out(judged: Sequence[Judged]) -> str:
    classes = Counter(one.change.change_class for one in judged)
    counted = ", ".join(f"{count} {one}" for one, count in classes.items())
    return (
        f"\n**{len(judged)} more changes are left out** ({counted}). `quantllm review` with the same "
        "`--base` shows all of them on a terminal, and `--format json` in a document."
    )


def _tables(review: Review) -> Iterator[str]:
    yield from _table("Cost, US dollars a month", COST_HEAD, cost_rows(review.cost))
    yield from _table("GPU memory", FIT_HEAD, fit_rows(review.fit))
    found = unknowns(review)
    if found:
        yield ""
        reasons = [f"- {code(name, LONGEST_NAME)}: {prose(why)}" for name, why in found]
        yield from _within(_UNKNOWNS, reasons)


def _table(title: str, head: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    """What changes or is to be warned of in the open, the others folded away."""
    shown = [row for row in rows if row.changed or row.warning]
    folded = [row for row in rows if not (row.changed or row.warning)]
    if shown:
        # What is warned of must not be among what is cut.
        shown.sort(key=lambda row: not row.warning)
        yield from ("", f"### {title}", "", *_rows(_TABLE, head, shown))
    if folded:
        yield from _folded(f"{title}: {len(folded)} unchanged", _rows(_FOLDED_TABLE, head, folded))


def _rows(room: int, head: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|---{'|--:' * (len(head) - 1)}|"
    yield from _within(room, [_row(row) for row in rows], "\nand {} more")


def _row(row: Row) -> str:
    warning = f" **⚠ {row.warning}**" if row.warning else ""
    return f"| {cell(row.name, LONGEST_NAME)} | {' | '.join(map(_figure, row.cells))}{warning} |"


def _figure(text: str) -> str:
    """A cell of figures, which may hold an instance type of anybody's making."""
    return " ".join(word if _is_figure(word) else cell(word, LONGEST_NAME) for word in text.split())


def _is_figure(word: str) -> bool:
    return word in {"about", "of", ABSENT, UNKNOWN, "→"} or not set(word) - set("0123456789,.%()+-")


def _drift(drift: Iterable[Drift] | None) -> Iterator[str]:
    found = list(drift or ())
    if not found:
        return
    yield from ("", "### Drift: changed outside of CloudFormation, and not changed back by a deploy", "")
    yield from _within(_DRIFT, [_drifted(one) for one in found])


def _drifted(one: Drift) -> str:
    places = "; ".join(
        f"{code(place, LONGEST_NAME)} {code(expected, LONGEST_NAME)} → {code(actual, LONGEST_NAME)}"
        for place, expected, actual in one.differences[:3]
    )
    more = f" and {len(one.differences) - 3} more" if len(one.differences) > 3 else ""
    return f"- {code(one.stack, LONGEST_NAME)} {code(one.resource)}: {prose(one.status)} {places}{more}"


def _quiet(changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        return
    noun = "change" if len(changes) == 1 else "changes"
    lines = [f"- {prose(one.summary, 300)} in {_where(one)}" for one in changes]
    yield from _folded(f"{len(changes)} {noun} without effect", _within(_NO_EFFECT, lines))


def _folded(title: str, lines: Iterable[str], indent: str = "") -> Iterator[str]:
    """Lines that are there once somebody opens them; `title` is plain words."""
    yield from ("", f"{indent}<details><summary>{title}</summary>", "", *lines, "", f"{indent}</details>", "")
