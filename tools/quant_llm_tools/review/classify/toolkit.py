"""What the CDK CLI is told in `cdk.json`: which command `cdk deploy` runs is in no template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from quant_llm_tools.review.model import Change, ChangeClass

FILE: Final = "cdk.json"

_COMMANDS: Final = ("app", "build")


def toolkit(before: Path | None, after: Path | None) -> Iterator[Change]:
    """Settings that differ between two checkouts; not the context, which each is synthesised with."""
    if before is None or after is None:
        return
    old, new = _settings(before), _settings(after)
    for name in sorted({**old, **new}):
        if old.get(name) == new.get(name):
            continue
        is_command = name in _COMMANDS
        yield Change(
            ChangeClass.PROTECTION_WEAKENED if is_command else ChangeClass.OPERATIONS_CHANGED,
            (FILE,),
            name,
            f"another command is run by the CDK CLI ({name})"
            if is_command
            else f"another setting of the CDK CLI: {name}",
            "The review runs app.py and no other command: what this one deploys is not in it."
            if is_command
            else "It changes how the CDK CLI deploys.",
            "`cdk deploy` runs it first, with the credentials of the deploy."
            if is_command
            else "In force from the next call of the CDK CLI on.",
            old.get(name),
            new.get(name),
        )


def _settings(checkout: Path) -> dict[str, Any]:
    try:
        document = json.loads((checkout / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a side without it is not synthesised
    return {name: value for name, value in document.items() if name != "context"}
