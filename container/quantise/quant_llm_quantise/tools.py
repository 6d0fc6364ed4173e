"""Runs the commands of the methods' tools, and tells what they do."""

from __future__ import annotations

import collections
import subprocess
from collections.abc import Callable, Mapping

from quant_llm_quantise.errors import ToolError
from quant_llm_quantise.steps import Step

Tell = Callable[..., None]

_LAST_LINES = 5


def run(step: Step, environment: Mapping[str, str], tell: Tell) -> float | None:
    """Run one step, and hand its output to `tell` line by line; the perplexity that it was to find.

    ToolError, with the tool's last lines, when it can't be started, fails, or leaves out what it was to
    write or say. It is ended with this process.
    """
    last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
    found: float | None = None
    try:
        process = subprocess.Popen(  # noqa: S603 - the method's own command
            list(step.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
        )
    except OSError as error:
        raise ToolError(f"{step.name}: {step.command[0]} can't be started: {error.strerror}") from None
    assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    try:
        with process.stdout as output:
            for raw in output:
                # Of a line that was written over itself, as a progress bar is, the last state.
                line = raw.decode(errors="replace").rstrip().rpartition("\r")[2]
                if line:
                    last.append(line)
                    tell(line, step=step.name)
                if step.reads is not None and (match := step.reads.search(line)):
                    found = float(match[1])
        status = process.wait()
    finally:
        process.kill()
        process.wait()
    said = " | ".join(last) or "it wrote nothing"
    if status != 0:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise ToolError(f"{step.name}: {step.command[0]} {how}: {said}")
    if step.writes is not None and not (step.writes.is_file() and step.writes.stat().st_size):
        raise ToolError(f"{step.name}: {step.command[0]} ended well and wrote no {step.writes.name}: {said}")
    if step.reads is not None and found is None:
        raise ToolError(f"{step.name}: {step.command[0]} ended well and told no perplexity: {said}")
    return found
