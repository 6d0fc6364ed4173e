"""The one sentence about a failed build that appears on the stack's event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def failure_reason(build: Mapping[str, Any], log_lines: Sequence[str]) -> str:
    """Say which phase failed and why, with the end of the build's log.

    `build` is CodeBuild's description, `log_lines` the last lines of its log, oldest first.
    """
    status = build["buildStatus"]
    if status == "SUCCEEDED":
        ending = "succeeded, but pushed no image under its tag"
    else:
        ending = f"ended as {status}{_failed_phase(build)}"
    tail = f"; the log ends: {' | '.join(log_lines)}" if log_lines else "; it has no log"
    return f"image build {build['id']} {ending}: mend it, then deploy again{tail}"


def _failed_phase(build: Mapping[str, Any]) -> str:
    for phase in build.get("phases", ()):
        if phase.get("phaseStatus") in (None, "SUCCEEDED"):
            continue
        messages = [context["message"] for context in phase.get("contexts", ()) if context.get("message")]
        return f" in phase {phase['phaseType']}" + (f" ({'; '.join(messages)})" if messages else "")
    return ""
