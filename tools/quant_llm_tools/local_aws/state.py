"""The embedded AWS that runs in the background: who it is and where, in a file of the checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from quant_llm.paths import ROOT

STATE_DIRECTORY = ROOT / ".quantllm" / "local"


@dataclass(frozen=True)
class State:
    """A running embedded AWS. `started` tells its process from a later one with the same id."""

    pid: int
    started: str
    endpoint_url: str
    hub_url: str
    environment: dict[str, str]

    def write(self, directory: Path) -> None:
        """Write the state in one step, so that nobody reads half of it."""
        part = _file(directory).with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=2) + "\n")
        part.rename(_file(directory))

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        return process_start(self.pid) == self.started


def running(directory: Path = STATE_DIRECTORY) -> State | None:
    """The embedded AWS that runs, or None; what a dead one left is taken for none."""
    try:
        state = State(**json.loads(_file(directory).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return state if state.alive else None


def running_environment(directory: Path = STATE_DIRECTORY) -> dict[str, str] | None:
    """The variables that point tools at the embedded AWS that runs, or None."""
    state = running(directory)
    return state.environment if state else None


def clear(directory: Path) -> None:
    """Remove the state file."""
    _file(directory).unlink(missing_ok=True)


def process_start(pid: int) -> str | None:
    """When a process started, as the system writes it; None if there is none, or only its remains."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            # The name in the second field may hold anything, also blanks and parentheses.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    command = [shutil.which("ps") or "/bin/ps", "-o", "lstart=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    return found.stdout.strip() or None


def _file(directory: Path) -> Path:
    return directory / "state.json"
