"""Where the values of a YAML file stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant_llm.agency.document import Document
from quant_llm.agency.problems import Location, field_name

TEXT = """\
# a comment
plain: text
flow: {one: 1, two: [a,
    b], three: {deep: c}}
block:
  - name: d
    long: >-
      folded
      text
  -
    name: e
shared: &anchor {x: y}
again: *anchor
"""


@pytest.fixture
def document(write: Callable[..., Path]) -> Document:
    return Document.read(write(TEXT))


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ((), (2, 1)),
        (("plain",), (2, 8)),
        (("flow",), (3, 7)),
        (("flow", "one"), (3, 13)),
        (("flow", "two", 0), (3, 22)),
        (("flow", "two", 1), (4, 5)),
        (("flow", "three", "deep"), (4, 23)),
        (("block",), (5, 1)),
        (("block", 0), (6, 5)),
        (("block", 0, "name"), (6, 11)),
        (("block", 0, "long"), (7, 11)),
        (("block", 1, "name"), (11, 11)),
        (("block", 1, "missing"), (11, 5)),
        (("missing", "below"), (2, 1)),
        (("again", "x"), (12, 21)),
    ],
)
def test_lines_and_columns_count_from_one(
    document: Document, location: Location, place: tuple[int, int]
) -> None:
    assert document.place(location) == place


def test_keys_have_places_of_their_own(document: Document) -> None:
    assert document.key_place(("flow", "three")) == (4, 9)


def test_data_is_plain(document: Document) -> None:
    assert document.data == {
        "plain": "text",
        "flow": {"one": 1, "two": ["a", "b"], "three": {"deep": "c"}},
        "block": [{"name": "d", "long": "folded text"}, {"name": "e"}],
        "shared": {"x": "y"},
        "again": {"x": "y"},
    }


def test_a_byte_order_mark_is_passed_over(write: Callable[..., Path]) -> None:
    assert Document.read(write("\ufeffa: 1\n")).data == {"a": 1}


def test_keys_are_text_as_written(write: Callable[..., Path]) -> None:
    assert Document.read(write("2024: a\nyes: b\n")).data == {"2024": "a", "yes": "b"}


def test_long_values_are_shown_short(write: Callable[..., Path]) -> None:
    assert len(Document.read(write("a: " + "x" * 10_000)).written(("a",))) < 200


def test_field_names_read_as_people_write_them() -> None:
    assert field_name(("models", 0, "scaling", "schedule", 1, "min")) == "models[0].scaling.schedule[1].min"
    assert field_name(("tags", "cost-centre")) == "tags.cost-centre"
    assert field_name(("tags", "a:b")) == "tags['a:b']"
