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
