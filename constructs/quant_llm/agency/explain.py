"""Pydantic's errors in this project's words: what was given, what is expected, and what was meant."""

from __future__ import annotations

import re

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from quant_llm.agency.config import RELATION
from quant_llm.agency.document import Document
from quant_llm.agency.fields import fields_at, nearest_field
from quant_llm.agency.forms import WRONG_FORM
from quant_llm.agency.problems import Location, Problem

# What pydantic adds to a location for an error of a dictionary's key, not of its value.
_KEY = "[key]"

_EXPECTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
}


def explain(document: Document, error: ValidationError) -> list[Problem]:
    """The problems of single values; those between values are told by `relations`."""
    return [_problem(document, details) for details in error.errors() if not _is_told(document, details)]


def _is_told(document: Document, details: ErrorDetails) -> bool:
    """Errors told elsewhere: of values together, of the YAML, of lists that lack their wrong items."""
    kind = details["type"]
    return (
        kind == RELATION
        or details["loc"] in document.refused
        or (kind == "too_short" and bool(details["input"]))
    )


def _problem(document: Document, details: ErrorDetails) -> Problem:
    kind, location, context = details["type"], details["loc"], details.get("ctx", {})
    if kind == "missing":
        return document.problem(location, "required field is missing")
    if kind == "extra_forbidden":
        return _unknown_field(document, location)
    at_key = location[-1:] == (_KEY,)
    if at_key:
        location = location[:-1]
    got = repr(location[-1]) if at_key else _shown(document, location)
    if kind == WRONG_FORM:
        return document.wrong(location, context["expected"], context["nearest"], got=got, at_key=at_key)
    if kind in ("too_short", "too_long") and isinstance(details["input"], str):
        kind = f"string_{kind}"  # as pydantic calls it where the length is checked before the form
    elif kind in ("too_short", "too_long"):
        got = f"{len(details['input'])} entries"
    if kind in ("model_type", "model_attributes_type"):
        return document.wrong(location, "a mapping with " + ", ".join(fields_at(location)), got=got)
    if kind == "string_type":
        return document.wrong(location, _text_expected(document, location), got=got)
    if kind not in _EXPECTED:
        return document.problem(location, details["msg"])
    expected = _EXPECTED[kind].format(**context)
    meant = _without_unit(got) if kind in ("int_type", "float_type") else None
    if meant and f"'{meant}'" == got:
        return document.wrong(location, f"{expected} without quotes", got=got, at_key=at_key)
    return document.wrong(location, expected, meant, got=got, at_key=at_key)


def _without_unit(written: str) -> str | None:
    """The number in text such as `'8k'`, `'30m'` or `'$6,000'`; in the binary thousands of contexts."""
    found = re.fullmatch(r"'\$?(\d+(?:,\d{3})*(?:\.\d+)?) ?([a-zA-Z]*)'", written)
    if not found:
        return None
    number = found[1].replace(",", "")
    return str(int(float(number) * 1024)) if found[2] in ("k", "K") else number


def _unknown_field(document: Document, location: Location) -> Problem:
    near = nearest_field(location)
    known = ", ".join(fields_at(location[:-1]))
    return document.wrong(location, f"one of the fields {known}", near, got="an unknown field", at_key=True)


def _is_private(location: Location) -> bool:
    """Values that may be secrets of a form that nothing recognises."""
    return location[-1:] == ("token_secret",) or (
        location[:1] == ("models",) and location[2:3] == ("environment",)
    )


def _shown(document: Document, location: Location) -> str:
    written = document.written(location)
    return "a value (not shown)" if _is_private(location) and not written.startswith("a ") else written


def _text_expected(document: Document, location: Location) -> str:
    written = document.written(location)
    if written in ("a list", "a mapping"):
        return "text"
    return "text in quotes" if _is_private(location) else f'text in quotes, "{written}"'
