"""The comment that the docs show is the one that is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_llm_tools.review.model import Change
from tests.review.rendering import BEGIN, CASE, PAGES, page, rendered


@pytest.mark.timeout(900)
def test_the_pages_show_the_comment_on_the_golden_case(
    changes_of: dict[str, tuple[Change, ...]], tmp_path: Path
) -> None:
    comment = rendered(changes_of[CASE], tmp_path)
    shown = [path for path in PAGES if BEGIN in path.read_text()]
    assert shown
    for path in shown:
        text = path.read_text()
        assert page(text, comment) == text, f"{path.name}: run `python -m tests.review.rendering`"
