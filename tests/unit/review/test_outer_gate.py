"""What may pass: classes, approvals by path and reason, and nothing by a hash."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from quant_llm.agency import AgencyFileError
from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.approvals import marked_new, read_approvals
from quant_llm_tools.review.gate import parse_classes
from quant_llm_tools.review.model import ChangeClass
from quant_llm_tools.review.verdict import Exit
from tests.unit.review.outer_samples import TODAY, approval, change, judged, review

WEIGHTS = (ChangeClass.WEIGHTS_CHANGED,)


def test_only_named_classes_block() -> None:
    made = review(change(), change(ChangeClass.ENDPOINT_REPLACED))
    assert judged(made).exit is Exit.PASSED
    verdict = judged(made, WEIGHTS)
    assert verdict.exit is Exit.BLOCKED
    assert [one.change.change_class for one in verdict.judged if one.blocks] == list(WEIGHTS)


def test_an_approval_of_the_path_and_class_lets_a_change_through() -> None:
    verdict = judged(review(change()), WEIGHTS, [approval()])
    assert verdict.exit is Exit.PASSED
    assert verdict.judged[0].approvals == (approval(),)
    assert not verdict.stale


@pytest.mark.parametrize(
    "wrong",
    [
        approval(ChangeClass.IMAGE_CHANGED),
        approval(paths=["QuantLlmStack-health/mistral-7b/Artifact/Resource"]),
        approval(paths=["QuantLlmStack-health/*"]),
        approval(paths=["QuantLlmStack-health"]),
        approval(expires=TODAY - datetime.timedelta(days=1)),
    ],
)
def test_another_class_another_path_a_pattern_or_an_expired_approval_lets_nothing_through(
    wrong: object,
) -> None:
    verdict = judged(review(change()), WEIGHTS, [wrong])  # type: ignore[list-item]  # parametrised
    assert verdict.exit is Exit.BLOCKED
    assert len(verdict.stale) == 1


def test_one_change_in_two_stacks_needs_both_named() -> None:
    both = review(change(stacks=("QuantLlmStack-health", "QuantLlmStack-justice")))
    second = approval(paths=["QuantLlmStack-justice/mistral-7b/Artifact"], line=7)
    assert judged(both, WEIGHTS, [approval()]).exit is Exit.BLOCKED
    assert judged(both, WEIGHTS, [approval(), second]).exit is Exit.PASSED


def test_an_approval_holds_on_its_last_day() -> None:
    assert judged(review(change()), WEIGHTS, [approval(expires=TODAY)]).exit is Exit.PASSED


def test_a_refused_head_never_passes() -> None:
    refused = review(change(ChangeClass.REFUSED))
    approved = approval(ChangeClass.REFUSED)
    assert judged(refused, (), [approved]).exit is Exit.REFUSED


def test_classes_come_with_commas_and_a_typo_is_told() -> None:
    assert parse_classes(["weights-changed, image-changed", "endpoint-rolls"]) == {
        ChangeClass.WEIGHTS_CHANGED,
        ChangeClass.IMAGE_CHANGED,
        ChangeClass.ENDPOINT_ROLLS,
    }
    with pytest.raises(QuantLlmError, match=r"got 'weight-changed', .*did you mean 'weights-changed'"):
        parse_classes(["weight-changed"])


GOOD = """\
approvals:
  - class: endpoint-replaced
    paths:
      - QuantLlmStack-health/mistral-7b/Endpoint/Resource
    reason: the clients were told, CHG-1234
    expires: "2027-01-31"
  - class: weights-changed
    paths: [QuantLlmStack/smollm2-135m/Artifact]
    reason: evaluated by the team
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".quantllm-review.yaml"


def test_the_file_is_read_with_lines(file: Path) -> None:
    file.write_text(GOOD)
    first, second = read_approvals(file.parent)
    assert first.change_class is ChangeClass.ENDPOINT_REPLACED
    assert first.paths == ("QuantLlmStack-health/mistral-7b/Endpoint/Resource",)
    assert first.expires == datetime.date(2027, 1, 31)
    assert (first.place, second.place) == (".quantllm-review.yaml:2", ".quantllm-review.yaml:7")
    assert second.expires is None


def test_a_day_needs_no_quotes(file: Path) -> None:
    file.write_text(GOOD.replace('"2027-01-31"', "2027-01-31"))
    assert read_approvals(file.parent)[0].expires == datetime.date(2027, 1, 31)


def test_no_file_has_no_approvals(file: Path) -> None:
    assert read_approvals(file.parent) == []


def test_what_base_does_not_have_word_for_word_is_new(file: Path) -> None:
    file.write_text(GOOD)
    base = read_approvals(file.parent)
    file.write_text("# moved down\n" + GOOD.replace("evaluated by the team", "evaluated by nobody"))
    assert [one.new for one in marked_new(read_approvals(file.parent), base)] == [False, True]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "endpoint-replaced",
            "endpoint-replace",
            ":2: approvals[0].class: got 'endpoint-replace', expected one",
        ),
        ("endpoint-replaced", "refused", ":2: approvals[0].class: got 'refused', expected one of"),
        ("the clients were told, CHG-1234", "ok", ":5: approvals[0].reason: got 'ok', expected a reason"),
        ("    reason: the clients were told, CHG-1234\n", "", ":2: approvals[0].reason: required field"),
        ('"2027-01-31"', "soon", ":6: approvals[0].expires: got 'soon', expected a day such as"),
        ("    expires:", "    expire:", ":6: approvals[0].expire: got 'expire', expected one of the fields"),
        ("approvals:", "approval:", ":1: approvals: got nothing, expected a mapping"),
        (
            "QuantLlmStack-health/mistral-7b/Endpoint/Resource",
            "a3f5c9d2e1b4",
            ":4: approvals[0].paths[0]: got 'a3f5c9d2e1b4', expected a path of names",
        ),
        (
            "QuantLlmStack-health/mistral-7b/Endpoint/Resource",
            "QuantLlmStack-health/Mistral7bEndpointC46A3F5D",
            ":4: approvals[0].paths[0]: got ",
        ),
        (
            "QuantLlmStack-health/mistral-7b/Endpoint/Resource",
            f"sha256:{'0a' * 32}",
            ":4: approvals[0].paths[0]",
        ),
        (
            "[QuantLlmStack/smollm2-135m/Artifact]",
            "QuantLlmStack/smollm2-135m/Artifact",
            ":8: approvals[1].paths",
        ),
        (
            "    reason: evaluated",
            "    reason: evaluated\n    reason: evaluated",
            ":10: approvals[1].reason: given twice",
        ),
    ],
)
def test_each_mistake_is_told_with_its_line(file: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(AgencyFileError) as caught:
        read_approvals(file.parent)
    assert any(line.startswith(f".quantllm-review.yaml{problem}") for line in str(caught.value).splitlines())


def test_a_file_that_is_no_yaml_is_told_by_its_name_alone(file: Path) -> None:
    file.write_text("approvals: [")
    with pytest.raises(AgencyFileError, match=r"^\.quantllm-review\.yaml:1: no valid YAML"):
        read_approvals(file.parent)


def test_names_that_only_look_a_little_like_hashes_are_paths(file: Path) -> None:
    for name in ("QuantLlmStack-facade", "model-20270131", "Llama20270131", "deadbeef-7b", "facade"):
        file.write_text(GOOD.replace("QuantLlmStack-health", name))
        assert read_approvals(file.parent)[0].paths[0].startswith(name)
