"""Code of which only the comments changed has no effect; anything else is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_llm_tools.review.classify.code import code
from quant_llm_tools.review.classify.comparison import Comparison, StackSide
from quant_llm_tools.review.classify.files import changed_files, same_code
from tests.unit.review.templates import STACK, resource

SOURCE = '"""What it is."""\n\n\ndef double(x):\n    """Twice."""\n    return 2 * x  # not 3\n'


@pytest.mark.parametrize(
    "other",
    [
        SOURCE.replace("# not 3", "# twice"),
        SOURCE.replace("Twice.", "Two times."),
        SOURCE.replace("What it is.", "Other words."),
        SOURCE.replace("2 * x", "(2 * x)"),
        SOURCE + "\n\n# the end\n",
    ],
)
def test_comments_docstrings_and_layout_are_the_same_code(other: str) -> None:
    assert same_code({"a.py": SOURCE}, {"a.py": other})


@pytest.mark.parametrize(
    "after",
    [
        {"a.py": SOURCE.replace("2 * x", "3 * x")},
        {"a.py": SOURCE, "b.py": ""},
        {"b.py": SOURCE},
        {"a.py": "not python ("},
    ],
)
def test_anything_else_is_other_code(after: dict[str, str]) -> None:
    assert not same_code({"a.py": SOURCE}, after)


def test_text_that_is_no_python_counts_with_its_comments() -> None:
    assert not same_code({"requirements.txt": "a # b\n"}, {"requirements.txt": "a # c\n"})


def test_comments_that_a_coding_line_makes_statements_are_other_code() -> None:
    cookie = f"# -*- coding: utf-7 -*-\n{SOURCE}"
    hidden = f"{cookie}# +AAo-import os+AAo-os.remove(+ACI-x+ACI-)\n"
    assert not same_code({"a.py": SOURCE}, {"a.py": hidden})
    assert not same_code({"a.py": cookie}, {"a.py": hidden})


def test_a_source_that_can_not_be_parsed_is_other_code() -> None:
    assert not same_code({"a.py": SOURCE}, {"a.py": f"{SOURCE}\0"})


def test_bytes_that_are_no_text_are_told_apart(tmp_path: Path) -> None:
    before, after = (function_side(tmp_path / name, name * 64, SOURCE) for name in "ab")
    (tmp_path / "a" / f"asset.{'a' * 64}" / "data.bin").write_bytes(b"\xfe")
    (tmp_path / "b" / f"asset.{'b' * 64}" / "data.bin").write_bytes(b"\xff")
    assert said(before, after) == [("operations-changed", ["data.bin: +1 -1 lines"])]


def test_changed_files_say_what_happened_to_each() -> None:
    before = {"a": "1\n2\n", "gone": "", "same": "x"}
    after = {"a": "1\n3\n4\n", "new": "", "same": "x"}
    assert changed_files(before, after) == {"a": "+2 -1 lines", "gone": "removed", "new": "new"}


def function_side(assembly: Path | None, asset: str, source: str) -> StackSide:
    if assembly is not None:
        folder = assembly / f"asset.{asset}"
        folder.mkdir(parents=True)
        (folder / "handler.py").write_text(source)
    one = resource("AWS::Lambda::Function", "F", {"Code": {"S3Bucket": "b", "S3Key": f"{asset}.zip"}})
    return StackSide({"Resources": {"F": one}}, assembly=assembly)


def said(before: StackSide, after: StackSide) -> list[tuple[str, object]]:
    found = code(Comparison(STACK, before, after, effects={}))
    return [(one.change_class.value, one.after) for one in found]


def test_a_function_whose_comments_changed_has_no_effect(tmp_path: Path) -> None:
    before = function_side(tmp_path / "a", "a" * 64, SOURCE)
    after = function_side(tmp_path / "b", "b" * 64, f"{SOURCE}# more\n")
    assert said(before, after) == [("no-effect", None)]


def test_a_function_with_other_code_is_told_of_with_its_files(tmp_path: Path) -> None:
    before = function_side(tmp_path / "a", "a" * 64, SOURCE)
    after = function_side(tmp_path / "b", "b" * 64, SOURCE.replace("2", "4"))
    assert said(before, after) == [("operations-changed", ["handler.py: +1 -1 lines"])]


def test_a_function_without_its_files_counts_as_changed() -> None:
    before, after = function_side(None, "a" * 64, ""), function_side(None, "b" * 64, "")
    assert said(before, after) == [("operations-changed", None)]
