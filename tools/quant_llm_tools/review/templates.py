"""What CloudFormation does to each resource of a stack, by `@aws-cdk/cloudformation-diff`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from quant_llm.errors import QuantLlmError

Template = Mapping[str, Any]

_SCRIPT: Final = Path(__file__).with_name("template_diff.cjs")


class Impact(StrEnum):
    """What happens to a resource at deploy, in the library's words."""

    WILL_CREATE = "WILL_CREATE"
    WILL_UPDATE = "WILL_UPDATE"
    WILL_REPLACE = "WILL_REPLACE"
    MAY_REPLACE = "MAY_REPLACE"
    WILL_DESTROY = "WILL_DESTROY"
    WILL_ORPHAN = "WILL_ORPHAN"
    WILL_IMPORT = "WILL_IMPORT"
    NO_CHANGE = "NO_CHANGE"


@dataclass(frozen=True)
class PropertyEffect:
    """What a changed property does to its resource.

    `through` has the logical ids of the resources whose change alone changes it; none where the template's
    own text is another.
    """

    impact: Impact
    through: tuple[str, ...]


@dataclass(frozen=True)
class ResourceEffect:
    """What happens to one resource, and through which properties."""

    impact: Impact
    properties: Mapping[str, PropertyEffect]


def effects(pairs: Mapping[str, tuple[Template, Template]]) -> dict[str, dict[str, ResourceEffect]]:
    """By stack and logical id, every resource with a difference; `pairs` has base and head of each stack.

    One process for all of them: most of its time is reading the database of resource types.
    QuantLlmError when the library isn't installed.
    """
    if not pairs:
        return {}
    given = {stack: {"before": before, "after": after} for stack, (before, after) in pairs.items()}
    node = Path(sys.executable).with_name("node")
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [node, _SCRIPT], input=json.dumps(given), capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise QuantLlmError(f"{node}: {error.strerror}; `make setup` installs it") from None
    if done.returncode != 0:
        if "Cannot find module" in done.stderr:
            raise QuantLlmError("@aws-cdk/cloudformation-diff is not installed: run `make setup`")
        raise QuantLlmError(f"comparing the templates failed: {done.stderr.strip()[-2000:]}")
    return {
        stack: {logical_id: _effect(found) for logical_id, found in resources.items()}
        for stack, resources in json.loads(done.stdout).items()
    }


def _effect(found: Mapping[str, Any]) -> ResourceEffect:
    return ResourceEffect(
        impact=Impact(found["impact"]),
        properties={
            name: PropertyEffect(Impact(one["impact"]), tuple(one["through"]))
            for name, one in found["properties"].items()
        },
    )
