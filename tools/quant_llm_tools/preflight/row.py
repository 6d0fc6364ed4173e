"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from quant_llm.errors import QuantLlmError


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    FIX = "fix"
    UNKNOWN = "could not check"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: what was asked, what was found, and what to do, which may be nothing."""

    check: str
    asked: str
    status: Status
    found: str
    to_do: str = ""


class CheckError(QuantLlmError):
    """A question that got no answer: the action is denied, or the service is out of reach."""


def asked(check: str, question: str, answer: Callable[[], tuple[str, str]]) -> Row:
    """The row of a check: `answer` gives what was found and what to do, "" when that is nothing.

    A CheckError of `answer` is a row too.
    """
    try:
        found, to_do = answer()
    except CheckError as error:
        return Row(check=check, asked=question, status=Status.UNKNOWN, found=str(error))
    status = Status.FIX if to_do else Status.OK
    return Row(check=check, asked=question, status=status, found=found, to_do=to_do)
