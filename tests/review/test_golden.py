"""What a review says of each golden case, against what a reviewer must hear, and what the docs show."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_llm_tools.review.model import Change, ChangeClass
from tests.review.golden import cases, reviewed
from tests.review.rendering import BEGIN, CASE, PAGES, page, rendered

Found = dict[str, tuple[Change, ...]]

pytestmark = pytest.mark.timeout(900)  # many synths, on a machine that may be busy


@pytest.fixture(scope="module")
def changes_of(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The golden cases, reviewed once. It takes a minute: so all its tests are here, on one worker."""
    return reviewed(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_each_case_has_its_classes_and_no_others(case, changes_of: Found) -> None:  # type: ignore[no-untyped-def]
    found = changes_of[case.name]
    assert {one.change_class.value for one in found} == case.expected.keys(), describe(found)
    for name, texts in case.expected.items():
        summaries = "\n".join(one.summary for one in found if one.change_class.value == name)
        for text in texts:
            assert text in summaries, summaries


def test_precision_and_recall_are_one(changes_of: Found, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {(case.name, name) for case in cases() for name in case.expected}
    found = {(name, one.change_class.value) for name, changes in changes_of.items() for one in changes}
    right = len(wanted & found)
    precision, recall = right / len(found), right / len(wanted)
    with capsys.disabled():
        print(f"\ngolden cases: {len(cases())}, precision {precision:.3f}, recall {recall:.3f}")
    assert (precision, recall) == (1.0, 1.0), sorted(wanted ^ found)


def test_there_are_25_cases_and_each_class_is_in_one() -> None:
    assert len(cases()) >= 25
    assert {name for case in cases() for name in case.expected} == {one.value for one in ChangeClass}


def test_the_pages_show_the_comment_on_the_golden_case(changes_of: Found, tmp_path: Path) -> None:
    comment = rendered(changes_of[CASE], tmp_path)
    shown = [path for path in PAGES if BEGIN in path.read_text()]
    assert shown
    for path in shown:
        text = path.read_text()
        assert page(text, comment) == text, f"{path.name}: run `python -m tests.review.rendering`"


def describe(found: tuple[Change, ...]) -> str:
    return "\n".join(
        f"[{one.change_class}] {one.resource}: {one.summary} | {one.before} -> {one.after}" for one in found
    )
