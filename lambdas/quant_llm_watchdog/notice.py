"""The one notice of an incident: what people read in an email."""

from __future__ import annotations

from dataclasses import dataclass

from quant_llm_watchdog.causes import usual_causes
from quant_llm_watchdog.endpoint import Change, Endpoint
from quant_llm_watchdog.watch import RESTARTS, Limits
from quant_llm_watchdog.words import LastWords

_LONGEST_SUBJECT = 100  # of SNS, in ASCII


@dataclass(frozen=True)
class Notice:
    """A message to a topic."""

    subject: str
    text: str


def incident(endpoint: Endpoint, change: Change, limits: Limits, words: LastWords, now: float) -> str | None:
    """What is wrong, in a few words; None while nothing is."""
    minutes = round((now - endpoint.began) / 60)
    if change is Change.BROKEN:
        return f"is {endpoint.status}"
    if change is Change.TAKEN_BACK:
        return "did not take its update: SageMaker has taken it back, and the old version serves"
    if change is Change.UNDER_WAY and words.ends >= RESTARTS:
        return f"is {endpoint.status}, and its container ends again and again"
    if change is Change.UNDER_WAY and limits.overdue(endpoint, now):
        return f"has been {endpoint.status} for {minutes} minutes, longer than its own timeouts"
    return None


def notice(endpoint: Endpoint, problem: str, limits: Limits, words: LastWords, *, log_group: str) -> Notice:
    """The message about a problem."""
    subject = f"{endpoint.name} {problem}".encode("ascii", "replace").decode()
    lines = [
        f"The endpoint {endpoint.name} {problem}.",
        "",
        f"Instance type: {limits.instance_type}",
    ]
    if endpoint.failure_reason:
        lines.append(f"SageMaker says: {endpoint.failure_reason}")
    if words.sentence is not None:
        lines.append(f"The container ended {_times(words.ends)}, the last time because: {words.sentence}")
    if causes := usual_causes(endpoint.failure_reason, words):
        lines += ["", "Usual causes:", *(f"- {cause.name}: {cause.advice}" for cause in causes)]
    lines += ["", f"The end of the log {log_group}:"]
    lines += [f"  {line}" for line in words.lines] or ["  (there is no line)"]
    lines += ["", "Nothing was changed. There is no further message about this incident."]
    return Notice(subject[:_LONGEST_SUBJECT], "\n".join(lines))


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times for the same reason"
