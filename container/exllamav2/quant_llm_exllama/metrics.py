"""Counters in Prometheus' text format."""

from __future__ import annotations

from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HELP = {
    "requests_total": ("counter", "Requests that were generated, or are being so"),
    "prompt_tokens_total": ("counter", "Tokens of their prompts"),
    "generated_tokens_total": ("counter", "Tokens generated"),
    "requests_cancelled_total": ("counter", "Requests whose callers left"),
    "slots": ("gauge", "Answers that are generated at once at most"),
    "slots_in_use": ("gauge", "Answers that are being generated"),
    "answers_waiting": ("gauge", "Answers that wait for a slot"),
}


@dataclass(slots=True)
class Metrics:
    """What has happened so far. `unfinished` is the answers that are generated or waiting."""

    slots: int = 0
    requests_total: int = 0
    prompt_tokens_total: int = 0
    generated_tokens_total: int = 0
    requests_cancelled_total: int = 0

    def text(self, unfinished: int) -> bytes:
        """All of it."""
        values = {
            "requests_total": self.requests_total,
            "prompt_tokens_total": self.prompt_tokens_total,
            "generated_tokens_total": self.generated_tokens_total,
            "requests_cancelled_total": self.requests_cancelled_total,
            "slots": self.slots,
            "slots_in_use": min(unfinished, self.slots),
            "answers_waiting": max(unfinished - self.slots, 0),
        }
        lines = []
        for name, value in values.items():
            kind, meaning = _HELP[name]
            lines += [
                f"# HELP exllama_{name} {meaning}.",
                f"# TYPE exllama_{name} {kind}",
                f"exllama_{name} {value}",
            ]
        return ("\n".join(lines) + "\n").encode()
