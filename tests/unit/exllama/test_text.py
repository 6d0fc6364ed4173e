"""Text and tokens of an answer up to its stop strings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quant_llm_exllama.backend import Logprob
from quant_llm_exllama.text import AnswerText
from quant_llm_exllama.tokenizer import Tokenizer

_LOGPROB = Logprob(-1.0, ())


def pieces(
    tokenizer: Tokenizer, text: str, stops: tuple[str, ...], size: int = 1
) -> tuple[list[str], AnswerText]:
    """What comes out for `size` tokens at a time."""
    answer = AnswerText(tokenizer.decoder(), stops)
    ids = tokenizer.encode(text, add_special_tokens=False)
    given = []
    for start in range(0, len(ids), size):
        if not answer.stopped:
            given.append(answer.feed(ids[start : start + size], ()))
    return given, answer


def test_without_stops_each_character_comes_at_once(tokenizer: Tokenizer) -> None:
    given, _ = pieces(tokenizer, "aé€", ())
    assert given == ["a", "", "é", "", "", "€"]


def test_special_tokens_are_no_text(tokenizer: Tokenizer) -> None:
    assert "".join(pieces(tokenizer, "a<|im_start|>b", ())[0]) == "ab"


def test_a_stop_string_ends_the_text(tokenizer: Tokenizer) -> None:
    given, answer = pieces(tokenizer, "one STOP two", ("STOP",))
    assert "".join(given) == "one "
    assert answer.stopped


def test_the_beginning_of_a_stop_string_is_held_and_given_if_it_was_none(tokenizer: Tokenizer) -> None:
    given, answer = pieces(tokenizer, "a STAY", ("STOP",))
    assert given == ["a", " ", "", "", "STA", "Y"]
    assert not answer.stopped


def test_what_is_held_at_the_end_is_given(tokenizer: Tokenizer) -> None:
    given, answer = pieces(tokenizer, "a ST", ("STOP",))
    assert "".join(given) == "a "
    assert answer.end() == "ST"


def test_the_first_of_several_stops_counts(tokenizer: Tokenizer) -> None:
    given, _ = pieces(tokenizer, "abcdef", ("ef", "cd", "cde"), size=6)
    assert given == ["ab"]


def test_tokens_come_with_their_text(tokenizer: Tokenizer) -> None:
    answer = AnswerText(tokenizer.decoder(), ("cd",))
    taken = []
    for token in tokenizer.encode("abcé", add_special_tokens=False):
        answer.feed([token], [_LOGPROB])
        taken.append([(found.token, found.offset) for found in answer.take_tokens(last=False)])
    a, b, c, *e = tokenizer.encode("abcé", add_special_tokens=False)
    assert taken == [[(a, 0)], [(b, 1)], [], [], [(c, 2), (e[0], 3), (e[1], 3)]]


def test_tokens_of_a_stop_string_are_not_told(tokenizer: Tokenizer) -> None:
    answer = AnswerText(tokenizer.decoder(), ("cd",))
    ids = tokenizer.encode("abcdx", add_special_tokens=False)
    answer.feed(ids, [_LOGPROB] * len(ids))
    assert [token.token for token in answer.take_tokens(last=True)] == ids[:2]


@given(
    st.text("abé€", max_size=12),
    st.lists(st.text("abé", min_size=1, max_size=3), max_size=3),
    st.integers(1, 4),
)
def test_it_is_the_text_before_the_first_stop_that_is_complete(
    tokenizer: Tokenizer, text: str, stops: list[str], size: int
) -> None:
    given, answer = pieces(tokenizer, text, tuple(stops), size)
    whole = "".join(given) + ("" if answer.stopped else answer.end())
    ends = {text.find(stop) + len(stop): text.find(stop) for stop in sorted(stops, key=len) if stop in text}
    assert answer.stopped == bool(ends)
    assert whole == (text[: ends[min(ends)]] if ends else text)
