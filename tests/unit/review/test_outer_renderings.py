"""The comment, the terminal and the document: order, what is folded, what is cut, what reads back."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from quant_llm_tools.review.document import from_document, to_document
from quant_llm_tools.review.markdown import MARKER, MOST_CHARACTERS, markdown
from quant_llm_tools.review.model import BeforeAfter, ChangeClass, Drift, Fit, MonthlyCost, Review
from quant_llm_tools.review.terminal import terminal
from quant_llm_tools.review.values import MOST_DIFFERENCES, differences
from quant_llm_tools.review.verdict import Exit, Verdict
from tests.unit.review.outer_samples import COST, FIT, approval, change, judged, review
from tests.unit.review.test_outer_markup import reviews

EVERY = [change(one, summary=f"What is {one}") for one in ChangeClass if one is not ChangeClass.REFUSED]


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_worst_is_first_and_what_does_nothing_is_folded_with_a_count() -> None:
    made = review(*reversed(EVERY), change(ChangeClass.NO_EFFECT, summary="A hash moved"))
    text = markdown(made, judged(made))
    assert text.startswith(
        f"{MARKER}\n## 🔴 Infrastructure changes: 1 endpoint-replaced, 1 stateful-removed, "
    )
    headings = [line.split(" ", 2)[2] for line in lines(text, "### ")]
    classes = [str(one) for one in ChangeClass if one not in (ChangeClass.REFUSED, ChangeClass.NO_EFFECT)]
    assert headings == [*classes, "US dollars a month", "memory"]
    opened, _, folded = text.partition("<details><summary>2 changes without effect</summary>")
    assert "A hash moved" in folded
    assert "A hash moved" not in opened


def test_a_refusal_is_the_headline_with_each_of_its_lines() -> None:
    problems = "agencies/moh.yaml:12: models[0].engine: got 'x', expected y\nagencies/moh.yaml:14: wrong"
    made = review(change(), change(ChangeClass.REFUSED, summary=problems))
    text = markdown(made, judged(made))
    assert text.splitlines()[1] == "## ⛔ Refused: nothing of this can be deployed"
    assert text.splitlines()[3].startswith("- `agencies/moh.yaml:12`: `models[0].engine`: got `'x'`")
    assert text.splitlines()[4].startswith("- `agencies/moh.yaml:14`:")
    assert terminal(made, judged(made)).splitlines()[1].strip() == problems.splitlines()[0]


def test_no_change_says_so() -> None:
    made = Review(())
    assert markdown(made, judged(made)) == f"{MARKER}\n## ✅ No infrastructure change\n"
    quiet = Review((change(ChangeClass.NO_EFFECT),))
    assert "## ✅ No infrastructure change (1 without effect)" in markdown(quiet, judged(quiet))


def test_one_change_of_many_stacks_is_one_line_with_the_list() -> None:
    made = review(change(stacks=[f"QuantLlmStack-a{number}" for number in range(50)]))
    text = markdown(made, judged(made))
    (line,) = lines(text, "- **")
    assert "in 50 stacks, `QuantLlmStack-a0`, " in line
    assert line.endswith("and 38 more: `mistral-7b/Artifact`")
    assert "QuantLlmStack-a49" in terminal(made, judged(made))


def test_cost_tells_the_difference_what_is_unknown_and_what_is_over_budget() -> None:
    text = markdown(review(), judged(review()))
    (health,) = lines(text, "| `health` ")
    assert health == (
        "| `health` | 752 → 1,504 (+752) | 900 → 1,800 (+900) | 1,504 → 3,008 (+1,504) | 2,000 "
        "**⚠ over budget at most** |"
    )
    (new,) = lines(text, "| `new` ")
    assert new == (
        "| `new` | none → unknown | none → unknown | none → unknown | none → 10 "
        "**⚠ can't be held against the budget** |"
    )
    assert "- `new`: the price of `ml.g5.xlarge` is not known" in text
    folded = text[text.index("<details><summary>Cost") :]
    assert "| `justice` | 100 | 100 | 100 | none |" in folded
    assert "The cost changes, by how much is unknown: see the table." in text


def test_the_cost_of_all_in_a_sentence() -> None:
    made = Review((), {"health": COST["health"]})
    assert "By schedule it costs 1,800 US dollars a month in place of 900, 900 more." in markdown(
        made, judged(made)
    )
    estimate = MonthlyCost(1.0, 1.0, 1.0, estimated=True)
    made = Review((), {"health": BeforeAfter(None, estimate)})
    assert "none → about 1 (+1)" in markdown(made, judged(made))


def test_the_difference_is_told_though_the_cost_of_an_agency_that_does_not_change_is_unknown() -> None:
    unknown = MonthlyCost(at_min=None, scheduled=None, at_max=None, unknown="no price")
    cost = {
        "moh": BeforeAfter(MonthlyCost(100, 100, 200), MonthlyCost(400, 400, 800)),
        "health": BeforeAfter(unknown, unknown),
    }
    text = markdown(dataclasses.replace(review(), cost=cost), Verdict((), Exit.PASSED))
    assert "By schedule it costs 300 more, in US dollars a month; all of it costs an unknown sum." in text


def test_what_is_warned_of_is_not_among_what_is_cut() -> None:
    dear = BeforeAfter(None, MonthlyCost(5.0, 5.0, 5.0, 1.0))
    plain = BeforeAfter(None, MonthlyCost(5.0, 5.0, 5.0))
    made = Review((), {f"agency-{number}": plain for number in range(300)} | {"the-dear-one": dear})
    text = markdown(made, judged(made))
    assert "| `the-dear-one` |" in text
    assert "| `agency-299` |" not in text
    assert re.search(r"^and \d+ more$", text, re.MULTILINE)


def test_memory_that_does_not_suffice_is_flagged() -> None:
    text = markdown(review(), judged(review()))
    (health,) = lines(text, "| `health-mistral-7b` ")
    assert health.endswith("| 12.8 of 14.6 → 16.0 of 14.6 | 12% → -10% **⚠ does not fit** |")


def test_the_gate_is_told_at_the_top_and_at_each_change() -> None:
    made = review(change(), change(ChangeClass.IMAGE_CHANGED))
    new = dataclasses.replace(approval(), new=True)
    fail_on = [ChangeClass.WEIGHTS_CHANGED, ChangeClass.IMAGE_CHANGED]
    text = markdown(made, judged(made, fail_on, [new]))
    assert "**The check fails: 1 change needs an approval, marked ✋.**" in text
    assert "** ✔ in `QuantLlmStack-health`" in text
    assert "  - Approved: evaluated by the team (`.quantllm-review.yaml:2`, **new in this change**)" in text
    assert "[needs an approval]" in terminal(made, judged(made, fail_on, [new]))


def test_why_and_what_happens_are_said_once_a_class() -> None:
    made = review(change(resource="a"), change(resource="b"))
    assert markdown(made, judged(made)).count("Answers differ") == 1


def test_only_differences_are_spelled_out() -> None:
    before = {"same": 1, "list": ["a", "b", "c"], "inner": {"x": 1, "y": 2}, "gone": True}
    after = {"same": 1, "list": ["a", "c", "d"], "inner": {"x": 1, "y": 3}}
    assert [(one.place, one.before, one.after) for one in differences(before, after)] == [
        ("list", "b", None),
        ("list", None, "d"),
        ("inner.y", "2", "3"),
        ("gone", "true", None),
    ]
    assert [(one.before, one.after) for one in differences("FROM a\nRUN b", "FROM c\nRUN b")] == [
        ("FROM a", "FROM c")
    ]
    assert [(one.place, one.before, one.after) for one in differences(None, {"a": [1], "b": None})] == [
        ("a", None, "1")
    ]
    many = differences({}, {str(number): number for number in range(100)})
    assert len(many) == MOST_DIFFERENCES
    assert many[-1].place == "… and 89 more"


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    count=st.integers(0, 400),
    width=st.integers(0, 3000),
    agencies=st.integers(0, 200),
    character=st.sampled_from("a`|@.\u202e😀 "),
)
def test_the_comment_is_never_too_long_and_keeps_the_most_severe(
    count: int, width: int, agencies: int, character: str
) -> None:
    long = character * width
    classes = list(ChangeClass)
    made = review(
        *(
            change(
                classes[number % len(classes)],
                [f"{long}{n}" for n in range(20)],
                long,
                f"n{number} {long}",
                long,
                [long],
            )
            for number in range(count)
        )
    )
    cost = {
        f"{long}{n}": BeforeAfter(None, MonthlyCost(1.0 + n, 1, 1, 0.5, unknown=long))
        for n in range(agencies)
    }
    fit = {f"{long}{n}": BeforeAfter(None, Fit(long, 2.0, 1.0, long)) for n in range(agencies)}
    drift = tuple(Drift(long, long, long, ((long, long, long),) * 5) for _ in range(agencies))
    made = Review(made.changes, cost, fit, drift, (long,) * agencies)
    verdict = judged(made, classes)
    text = markdown(made, verdict)
    assert len(text) <= MOST_CHARACTERS
    shown = [one for one in lines(text, "- **") if not one.startswith("- **Note:**")]
    told = [
        one.change
        for one in verdict.judged
        if one.change.change_class not in (ChangeClass.REFUSED, ChangeClass.NO_EFFECT)
    ]
    if len(shown) < len(told):
        assert f"{len(told) - len(shown)} more changes are left out" in text
        worst = [one.summary.split()[0] for one in told[: len(shown)]]
        assert [re.findall(r"n\d+", line)[0] for line in shown] == worst


def test_a_cut_comment_counts_what_it_leaves_out_by_class() -> None:
    made = review(
        *(
            change(ChangeClass.IMAGE_CHANGED, resource=f"r{number}", summary="x. " * 200)
            for number in range(200)
        ),
        change(ChangeClass.ENDPOINT_REPLACED, summary="the worst"),
    )
    text = markdown(made, judged(made))
    assert text.index("the worst") < 1000
    assert " image-changed). `quantllm review` with the same `--base`" in text
    assert len(text) > 50_000


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(reviews())
def test_the_document_reads_back_as_the_review_it_was_made_of(made: tuple[Review, Verdict]) -> None:
    document = json.loads(json.dumps(to_document(*made)))
    assert from_document(document) == made
    assert set(document) <= {"changes", "cost", "fit", "exit", "drift", "notes"}


def test_the_documents_form() -> None:
    made = review(change(before={"a": 1}, after=None))
    document = to_document(
        Review(made.changes, {"health": COST["health"]}, {"e": FIT["justice-mistral-7b"]}), judged(made)
    )
    fit = {"instance_type": "ml.g5.xlarge", "needed_mib": 1024.0, "available_mib": 2048.0, "unknown": ""}
    assert document == {
        "changes": [
            {
                "class": "weights-changed",
                "stacks": ["QuantLlmStack-health"],
                "resource": "mistral-7b/Artifact",
                "summary": "The weights change",
                "why": "Answers differ",
                "effect": "The endpoint rolls",
                "before": {"a": 1},
                "after": None,
            }
        ],
        "cost": {
            "health": {
                "before": {
                    "at_min": 752.0, "scheduled": 900.0, "at_max": 1504.0, "budget": 2000.0,
                    "estimated": False, "unknown": "",
                },
                "after": {
                    "at_min": 1504.0, "scheduled": 1800.0, "at_max": 3008.0, "budget": 2000.0,
                    "estimated": False, "unknown": "",
                },
            }
        },
        "fit": {"e": {"before": fit, "after": fit}},
        "exit": 0,
    }  # fmt: skip


WELL = to_document(review(change()), judged(review(change())))


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {**WELL, "exit": 17},
        {**WELL, "changes": [{**WELL["changes"][0], "class": "harmless"}]},
        {**WELL, "changes": [{**WELL["changes"][0], "stacks": "QuantLlmStack"}]},
        {**WELL, "changes": [{**WELL["changes"][0], "summary": {"html": "<b>"}}]},
        {**WELL, "cost": {"a": {"before": {"at_min": "1"}, "after": None}}},
        {
            **WELL,
            "cost": {
                "a": {"before": None, "after": {**WELL["cost"]["health"]["after"], "at_max": float("inf")}}
            },
        },
        {**WELL, "fit": ["a"]},
        {**WELL, "drift": [{"stack": "s", "resource": "r", "status": "x", "differences": [["a"]]}]},
        {**WELL, "changes": [{**WELL["changes"][0], "gate": []}]},
    ],
)
def test_a_document_of_another_form_is_refused_and_not_quoted(wrong: object) -> None:
    with pytest.raises(QuantLlmError, match="got a document that is no review"):
        from_document(wrong)


def test_the_page_explains_every_class_and_exit_code() -> None:
    page = (ROOT / "docs" / "review.md").read_text()
    table = page.partition("## The classes")[2].partition("\n## ")[0]
    assert re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| (`[^|]+)\|", table, re.MULTILINE))) == list(
        ChangeClass
    )
    assert {int(one) for one in re.findall(r"^\| (\d) \|", page, re.MULTILINE)} == {1, 2, *Exit}


def test_the_terminal_shows_all_of_it_without_control_characters() -> None:
    made = review(
        *EVERY, *(change(resource=f"r{number}", summary=f"\x1b[31mred {number}") for number in range(300))
    )
    made = Review(made.changes, COST, FIT, (Drift("s", "r", "modified", (("/A", "1", "2"),)),), ("a note",))
    text = terminal(made, judged(made))
    assert "\x1b" not in text
    assert all(f"\\x1b[31mred {number}" in text for number in range(300))
    for part in ("a note", "1 -> 2", "over budget at most", "12.8 of 14.6 -> 16.0".replace("->", "→")):
        assert part in text
