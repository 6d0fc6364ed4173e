"""What is wrong with an agency file, in a form for people (`file:line: field: message`) and for tools."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quant_llm.errors import QuantLlmError

Location = tuple[str | int, ...]
"""The way to a value: field names and list positions, such as `("models", 0, "engine")`."""

HIDDEN = "a secret (not shown)"

# Tokens by the prefixes that their issuers print on them: Hugging Face, AWS access keys, GitHub, OpenAI; the
# user and password in an address; PEM.
_SECRET = re.compile(
    r"\b(?:hf_|api_org_)[A-Za-z0-9]{12,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"
    r"|\b(?:ghp_|gho_|ghs_|github_pat_)\w{20,}"
    r"|\bsk-[\w-]{20,}"
    r"|(?<=://)[^/\s@:']*:[^/\s@']+(?=@)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*"
)


def looks_like_secret(text: str) -> bool:
    """Whether the text holds something that looks like a token or key, which belongs in Secrets Manager."""
    return _SECRET.search(text) is not None


def redacted(text: str) -> str:
    """The text with everything that looks like a token or key replaced by `HIDDEN`."""
    return _SECRET.sub(HIDDEN, text)


def nearest(value: str, choices: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The choice most like `value`, upper and lower case alike; None when none is near enough."""
    by_lower_case = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(value.lower(), by_lower_case, n=5, cutoff=cutoff)
    # Swapped letters are the commonest slip: 'us-esat-1' is us-east-1 and not us-west-1, which is as near.
    close.sort(key=lambda choice: sorted(choice) != sorted(value.lower()))
    return by_lower_case[close[0]] if close else None


def field_name(location: Location) -> str:
    """The location as people write it: `models[0].scaling.min`; keys with other characters in brackets."""
    name = ""
    for part in location:
        if isinstance(part, int):
            name += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            name += f".{part}" if name else part
        else:
            name += f"[{part!r}]"
    return name


@dataclass(frozen=True)
class Problem:
    """One thing to mend. `line` and `column` count from 1; None when the problem is the file as a whole.

    `field` is empty for the file as a whole. `message` is the whole sentence; `got`, `expected` and `nearest`
    are its parts, where it has them. No secret is in any of them.
    """

    file: str
    line: int | None
    column: int | None
    field: str
    message: str
    got: str | None = None
    expected: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        """`agencies/moh.yaml:12: models[0].engine: got 'lama.cpp', expected …`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.field, self.message) if part)


def problem_at(
    file: str,
    place: tuple[int | None, int | None],
    location: Location,
    message: str,
    *,
    got: str | None = None,
    expected: str | None = None,
    nearest: str | None = None,
) -> Problem:
    """A problem at a line and column, with every secret taken out of what it says."""
    got, expected, nearest = (part and redacted(part) for part in (got, expected, nearest))
    return Problem(file, *place, redacted(field_name(location)), redacted(message), got, expected, nearest)


class AgencyFileError(QuantLlmError):
    """One or more agency files are wrong; `problems` has all of them, the message has one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Keep the problems, in order of file and line."""
        self.problems = tuple(sorted(problems, key=lambda one: (one.file, one.line or 0, one.column or 0)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
