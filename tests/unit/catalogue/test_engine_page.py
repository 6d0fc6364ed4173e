"""docs/engines.md: its tables are the catalogue's, and its example reads what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from quant_llm_tools import engine_page


def test_the_tables_are_current() -> None:
    current = engine_page.PAGE.read_text(encoding="utf-8")
    assert current == engine_page.page(), "run python -m quant_llm_tools.engine_page"


def test_a_table_that_is_no_longer_true_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = engine_page.PAGE.read_text(encoding="utf-8")
    page = tmp_path / "engines.md"
    page.write_text(text.replace("| T4 | g4dn | 7.5 | yes | - |", "| T4 | g4dn | 7.5 | yes | yes |"))
    monkeypatch.setattr(engine_page, "PAGE", page)
    assert page.read_text() != text
    assert engine_page.main() == 0
    assert page.read_text() == text


def test_a_page_without_its_comments_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "engines.md"
    page.write_text("# Engines\n")
    monkeypatch.setattr(engine_page, "PAGE", page)
    with pytest.raises(ValueError, match="the table 'engines' once"):
        engine_page.page()


def test_the_pages_example_reads_a_stream_of_lines_whatever_the_parts_cut_through() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", engine_page.PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the page's own code
    lines = b'{"choices": [{"delta": {"content": "Pa"}}]}\n{"choices": [{"delta": {"content": "ris"}}]}\n\n'
    body = [{"PayloadPart": {"Bytes": part}} for part in (lines[:9], lines[9:50], lines[50:])]
    assert "".join(names["text_of_lines"]({"Body": body})) == "Paris"
