"""The agency files of one side, read with head's code: what cost and fit are computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quant_llm.agency import AgencyConfig, ModelLock, current_locks, read_agency
from quant_llm.errors import QuantLlmError


@dataclass(frozen=True)
class AgencySide:
    """An agency file on one side: its configuration and current locks, or why it can't be read."""

    config: AgencyConfig | None
    locks: Mapping[str, ModelLock] = field(default_factory=dict)
    unreadable: str = ""


def read_side(checkout: Path) -> dict[str, AgencySide]:
    """The agency files under `agencies/` of a checkout, by agency; a folder that isn't there has none.

    What is wrong with the folder as a whole (a `.yml` file) is for the synth to refuse.
    """
    return {path.stem: _read(path, checkout) for path in sorted((checkout / "agencies").glob("*.yaml"))}


def _read(path: Path, checkout: Path) -> AgencySide:
    file = read_agency(path)
    problems = [str(problem) for problem in file.problems]
    locks: Mapping[str, ModelLock] = {}
    if file.config is not None:
        try:
            locks = current_locks(file.config, path)
        except QuantLlmError as error:
            problems.append(str(error))
    if not problems:
        return AgencySide(file.config, locks)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    reason = problems[0].replace(f"{checkout}/", "")
    return AgencySide(None, unreadable=f"this version can't read the file: {reason}{more}")
