"""Whatever a pull request's files hold, the comment shows it as text: read with a real Markdown parser."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from quant_llm_tools.review.markdown import MOST_CHARACTERS, markdown
from quant_llm_tools.review.markup import cell, code, prose
from quant_llm_tools.review.model import (
    BeforeAfter,
    Change,
    ChangeClass,
    Drift,
    Fit,
    MonthlyCost,
    Review,
)
from quant_llm_tools.review.verdict import Approval, Exit, Judged, Verdict

HOSTILE = (
    "@everyone",
    "![x](https://evil.example/i.png)",
    "<script>alert(1)</script>",
    "<!-- quantllm-review -->",
    "a | b || \\| c",
    "`",
    "``` \n# heading",
    "\n/close\n/assign me",
    "https://evil.example www.evil.example user@evil.example",
    "#1 !2 GH-3 %4 ~bug :smile: $x$ [[_TOC_]]",
    "\u202egnp.exe\u200b\x1b[31m",
    "**bold** ~~gone~~ _em_ \\",
    "</summary></details>",
    "&#64;user &lt;b&gt;",
    "deadbeef12 0123456789abcdef0123456789abcdef01234567",
    "- [ ] task\n1. one",
)
texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=60),
    st.lists(st.sampled_from([*HOSTILE, "`", "|", "\\", " ", "a", "."]), max_size=6).map("".join),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
changes = st.builds(
    Change,
    st.sampled_from(ChangeClass),
    st.lists(texts, min_size=1, max_size=3).map(tuple),
    texts,
    texts,
    texts,
    texts,
    values,
    values,
)
amounts = st.none() | st.floats(0, 1e6)
costs = st.none() | st.builds(MonthlyCost, amounts, amounts, amounts, amounts, st.booleans(), texts)
fits = st.none() | st.builds(Fit, texts, amounts, amounts, texts)


@st.composite
def reviews(draw: st.DrawFn) -> tuple[Review, Verdict]:
    found = draw(st.lists(changes, max_size=4))
    found.sort(key=lambda one: one.change_class.severity)
    approval = st.builds(
        Approval, st.sampled_from(ChangeClass), st.just(("x",)), texts, st.none(), texts, st.booleans()
    )
    gate = st.one_of(
        st.just((True, ())), st.tuples(st.just(False), st.lists(approval, max_size=1).map(tuple))
    )
    judged = tuple(Judged(one, *draw(gate)) for one in found)
    review = Review(
        tuple(found),
        draw(st.dictionaries(texts, st.builds(BeforeAfter, costs, costs), max_size=3)),
        draw(st.dictionaries(texts, st.builds(BeforeAfter, fits, fits), max_size=3)),
        (Drift(draw(texts), draw(texts), draw(texts), ((draw(texts), draw(texts), draw(texts)),)),),
        tuple(draw(st.lists(texts, max_size=2))),
    )
    return review, Verdict(judged, draw(st.sampled_from(Exit)))


PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OURS = re.compile(
    r"<!-- quantllm-review -->|</?details>|<details><summary>[A-Za-z0-9:, ]+</summary>", re.ASCII
)
# Nothing that a forge gives a meaning to: no @ # ! before a digit, no address, no emoji, no formula.
TEXT = re.compile(r"[A-Za-z0-9 ,.;:()/'%+→=!?-]*[⛔🔴🟠🟡⚪✅✋✔⚠]?[A-Za-z0-9 ,.;:()/'%+→=!?-]*…?[a-z0-9 ]*")
KNOWN = {
    "html_block", "heading_open", "heading_close", "inline", "paragraph_open", "paragraph_close",
    "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close", "text", "code_inline",
    "strong_open", "strong_close", "softbreak", "table_open", "table_close", "thead_open", "thead_close",
    "tbody_open", "tbody_close", "tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close",
}  # fmt: skip


def tokens(text: str) -> list[Token]:
    return [inner for token in PARSER.parse(text) for inner in (token, *(token.children or ()))]


def check_harmless(text: str) -> None:
    found = tokens(text)
    assert {token.type for token in found} <= KNOWN
    for token in found:
        if token.type == "html_block":
            assert all(OURS.fullmatch(line) for line in token.content.splitlines() if line), token.content
        if token.type == "text":
            assert TEXT.fullmatch(token.content), token.content
            assert not re.search(r"://|www\.|\b[0-9a-f]{7,}\b|!\d|:[a-z]+:", token.content), token.content
    assert not any(line.lstrip().startswith("/") for line in text.splitlines())
    folds = "".join(token.content for token in found if token.type == "html_block")
    assert folds.count("<details>") == folds.count("</details>")


# Without shrinking, which takes minutes of such large examples.
@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(reviews())
def test_no_name_or_value_becomes_markup(made: tuple[Review, Verdict]) -> None:
    text = markdown(*made)
    check_harmless(text)
    assert len(text) <= MOST_CHARACTERS


def contents(text: str) -> list[str]:
    return [token.content for token in tokens(text) if token.type == "code_inline"]


@settings(deadline=None)
@given(texts)
@example("`")
@example("` `` ```")
@example("\\")
def test_a_code_span_is_read_back_as_what_was_put_in(text: str) -> None:
    found = tokens(code(text, 10_000))
    assert [token.type for token in found if token.type not in ("paragraph_open", "paragraph_close")] == [
        "inline",
        "code_inline",
    ]
    if text.isprintable() and text.strip():
        assert contents(code(text, 10_000)) == [text.strip()]


@given(st.lists(texts, min_size=3, max_size=3))
def test_a_table_keeps_its_columns(cells: list[str]) -> None:
    row = f"| {' | '.join(map(cell, cells))} |"
    types = [token.type for token in tokens(f"| a | b | c |\n|---|---|---|\n{row}\n")]
    assert types.count("td_open") == 3
    assert types.count("code_inline") == 3


@given(st.text(max_size=300), st.integers(20, 100))
def test_long_values_lose_their_middle_and_keep_both_ends(text: str, most: int) -> None:
    from quant_llm_tools.review.values import shortened

    short = shortened(text, most)
    assert len(short) <= max(most, len(text) if len(text) <= most else most)
    if len(text) > most:
        assert short[:2] == text[:2]
        assert short[-1] == text[-1]
        assert " more… " in short


def test_prose_keeps_plain_words_and_shows_the_rest_as_code() -> None:
    sentence = "The role may now s3:GetObject on arn:aws:s3:::b/*, and read/write (@ops) at 99.5% of 1,024."
    assert prose(sentence) == (
        "The role may now `s3:GetObject` on `arn:aws:s3:::b/*`, and read/write (`@ops`) at 99.5% of 1,024."
    )
    assert prose("`ml.g5.xlarge` in place of `a b c`, so `x`.") == (
        "`ml.g5.xlarge` in place of `a b c`, so `x`."
    )


def test_no_sentence_begins_an_item_of_a_list() -> None:
    assert prose("1. one 2) two (3) 4") == "`1`. one `2`) two (`3`) 4"


def test_what_nobody_sees_is_written_as_an_escape() -> None:
    shown: Any = contents(code("a\u202eb\u200b\x1b[0m"))
    assert shown == ["a\\u202eb\\u200b\\x1b[0m"]
