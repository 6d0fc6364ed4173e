"""What `quantllm lock` prints: for people what changed in each model, for tools the same as JSON.

The document: {"agencies": [{"agency", "file", "lock", "changed", "models": [...], "errors": [...]}], "ok"}.
Each of the models: {"name", "state": "new" | "changed" | "same" | "removed", "commit", "files", "bytes",
"digest", "differences": [{"field", "before", "after"}]}, where a field is of the lock, such as
"shape.quantization" or "files.model.gguf", and null stands for what wasn't or isn't there. `changed` tells
whether the lock file was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from quant_llm.agency import ModelLock
from quant_llm_tools.lock.agency import AgencyOutcome
from quant_llm_tools.lock.selection import count_files, human_bytes

_SHOWN_HASH = 12


@dataclass(frozen=True)
class Difference:
    """One field of a model's lock that is another than before; None where there was or is none."""

    field: str
    before: Any
    after: Any


def differences(before: ModelLock, after: ModelLock) -> list[Difference]:
    """What is different between two locks of a model: source, commit, files by path, shape."""
    old, new = dict(_fields(before)), dict(_fields(after))
    return [
        Difference(name, old.get(name), new.get(name))
        for name in (*old, *(name for name in new if name not in old))
        if old.get(name) != new.get(name)
    ]


def document(outcomes: Sequence[AgencyOutcome]) -> dict[str, Any]:
    """The report as JSON; the module's docstring has its form."""
    return {
        "agencies": [
            {
                "agency": outcome.agency,
                "file": outcome.file,
                "lock": outcome.lock,
                "changed": outcome.changed,
                "models": []
                if outcome.errors
                else [_model_document(outcome, name) for name in _names(outcome)],
                "errors": list(outcome.errors),
            }
            for outcome in outcomes
        ],
        "ok": not any(outcome.errors for outcome in outcomes),
    }


def text(outcomes: Sequence[AgencyOutcome]) -> str:
    """The report for people: a line for each agency and model, and one for each difference."""
    return "\n".join(line for outcome in outcomes for line in _agency_lines(outcome))


def _agency_lines(outcome: AgencyOutcome) -> Iterator[str]:
    if outcome.errors:
        count = "1 error" if len(outcome.errors) == 1 else f"{len(outcome.errors)} errors"
        yield f"{outcome.lock}: left as it is, {count}"
        return
    yield f"{outcome.lock}: {'written' if outcome.changed else 'up to date'}"
    for name in _names(outcome):
        before, after = outcome.before.get(name), outcome.after.get(name)
        if after is None:
            yield f"  {name}: removed"
        elif before is None:
            yield f"  {name}: new, {_summary(after)}"
        elif before == after:
            yield f"  {name}: same, {_summary(after)}"
        else:
            effect = "other weights" if before.digest != after.digest else "the same weights"
            yield f"  {name}: changed, {effect}, {_summary(after)}"
            for difference in differences(before, after):
                yield f"    {difference.field}: {_shown(difference.before)} -> {_shown(difference.after)}"


def _summary(lock: ModelLock) -> str:
    shape = lock.shape
    return ", ".join(
        (
            f"commit {lock.commit[:_SHOWN_HASH]}",
            count_files(len(lock.artifact_files)),
            human_bytes(lock.total_bytes),
            f"{shape.architecture} {shape.parameters / 1e6:,.1f} M",
            shape.quantization,
            f"{shape.bits_per_weight:.2f} bits per weight",
            *([f"adapters {', '.join(sorted(lock.adapters))}"] if lock.adapters else ()),
        )
    )


def _shown(value: Any) -> str:
    match value:
        case None:
            return "none"
        case {"size": size, "sha256": sha256}:
            return f"{human_bytes(size)} sha256 {sha256[:_SHOWN_HASH]}"
        case str() if len(value) == 40:
            return value[:_SHOWN_HASH]
    return str(value)


def _names(outcome: AgencyOutcome) -> list[str]:
    return [*outcome.after, *(name for name in outcome.before if name not in outcome.after)]


def _model_document(outcome: AgencyOutcome, name: str) -> dict[str, Any]:
    before, after = outcome.before.get(name), outcome.after.get(name)
    if after is None:
        return {"name": name, "state": "removed"}
    found = differences(before, after) if before else []
    return {
        "name": name,
        "state": "new" if before is None else "changed" if found else "same",
        "commit": after.commit,
        "files": len(after.files),
        "bytes": after.total_bytes,
        "digest": after.digest,
        "differences": [vars(difference) for difference in found],
    }


def _fields(lock: ModelLock) -> Iterator[tuple[str, Any]]:
    for name, value in lock.source:
        yield f"source.{name}", value
    yield "commit", lock.commit
    for file in lock.files:
        yield f"files.{file.path}", {"size": file.size, "sha256": file.sha256}
    for name, value in lock.shape:
        yield f"shape.{name}", value
    for name, adapter in sorted(lock.adapters.items()):
        for field, value in (*adapter.source, ("commit", adapter.commit), *adapter.shape):
            yield f"adapters.{name}.{field}", value
        for file in adapter.files:
            yield f"adapters.{name}.{file.path}", {"size": file.size, "sha256": file.sha256}
