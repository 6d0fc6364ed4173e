"""The comment on the golden case `moh`, as docs/review.md and the README show it.

`python -m tests.review.rendering` writes it into them.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from quant_llm.paths import ROOT
from quant_llm_tools.review.agencies import read_side
from quant_llm_tools.review.compare import compare
from quant_llm_tools.review.cost import costs
from quant_llm_tools.review.fit import fits
from quant_llm_tools.review.gate import judge
from quant_llm_tools.review.markdown import MARKER, markdown
from quant_llm_tools.review.model import Change, ChangeClass, Review
from quant_llm_tools.review.sides import synthesised
from tests.review.golden import cases, commit, make_repository, write_agency

CASE: Final = "moh"
PAGES: Final = (ROOT / "README.md", ROOT / "docs" / "review.md")
BEGIN, END = "<!-- comment: begin -->\n", "<!-- comment: end -->\n"
DAY: Final = datetime.date(2026, 11, 23)
"""Schedules are read in the calendar of a year: of always the same one here."""


def rendered(changes: Iterable[Change], directory: Path) -> str:
    """The comment as a quotation; of changes that other cases share, this one's part."""
    (case,) = (one for one in cases() if one.name == CASE)
    sides = []
    for name, edits in (("before", case.prepare), ("after", [*case.prepare, *case.edits])):
        agencies = directory / name / "agencies"
        agencies.mkdir(parents=True)
        write_agency(case, agencies, edits)
        sides.append(read_side(agencies.parent))
    own = tuple(replace(one, stacks=(case.stack,)) for one in changes)
    review = Review(own, costs(*sides, year=DAY.year), fits(*sides))
    text = markdown(review, judge(own, [ChangeClass.WEIGHTS_CHANGED], (), DAY))
    lines = text.removeprefix(f"{MARKER}\n").rstrip("\n").splitlines()
    return "".join(f"> {line}".rstrip() + "\n" for line in lines)


def page(text: str, comment: str) -> str:
    """The page with its comment made anew; a page without a place for it as it is."""
    before, found, rest = text.partition(BEGIN)
    return before + BEGIN + comment + END + rest.partition(END)[2] if found else text


def main() -> None:
    """Review the case and write the comment into the pages."""
    (case,) = (one for one in cases() if one.name == CASE)
    with tempfile.TemporaryDirectory() as scratch:
        repository = Path(scratch, "repository")
        make_repository(repository)
        for path in (repository / "agencies").iterdir():
            path.unlink()
        for edits in (case.prepare, [*case.prepare, *case.edits]):
            write_agency(case, repository / "agencies", edits)
            commit(repository, "agency")
        with synthesised(repository, "HEAD~1", "HEAD") as (base, head):
            comment = rendered(compare(base, head), Path(scratch))
    for path in PAGES:
        path.write_text(page(path.read_text(), comment))


if __name__ == "__main__":
    main()
