"""The container's log: one JSON object a line on standard output, with the engine's own lines between them.

A thread of its own writes, so that a log collector that stalls, or a full disk behind it, never holds up
requests.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from datetime import UTC, datetime

_QUEUED_LINES = 10_000
_CLOSING_SECONDS = 2.0
_GATHERING_SECONDS = 0.02  # a writer that wakes up for each line would get in the event loop's way
_STANDARD_OUTPUT = 1
_encode = json.JSONEncoder(default=str).encode


class Log:
    """Lines on their way to standard output, from any thread. Lines that find no room are dropped."""

    def __init__(self) -> None:
        """Start the writer."""
        self._lines: queue.Queue[bytes | None] = queue.Queue(_QUEUED_LINES)
        self._writer = threading.Thread(target=self._write, name="log", daemon=True)
        self._writer.start()

    def event(self, message: str, *, level: str = "info", **fields: object) -> None:
        """Log a JSON object with the time, `level`, `message` and `fields`."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.line(_encode({"time": now, "level": level, "message": message, **fields}).encode())

    def line(self, line: bytes) -> None:
        """Log a line as it is, without its newline."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            return  # there is nowhere left to say so

    def close(self) -> None:
        """Write what is queued, as far as that succeeds within two seconds."""
        try:
            self._lines.put(None, timeout=_CLOSING_SECONDS)
        except queue.Full:
            return
        self._writer.join(_CLOSING_SECONDS)

    def _write(self) -> None:
        more = True
        while more:
            lines = [self._lines.get()]
            time.sleep(_GATHERING_SECONDS)
            while not self._lines.empty():
                lines.append(self._lines.get())
            more = None not in lines
            unwritten = b"".join(line + b"\n" for line in lines if line is not None)
            # Not by way of sys.stdout, which keeps what it failed to write, and fails again when Python ends.
            with contextlib.suppress(OSError):  # a full disk or a collector that is gone: serving goes on
                while unwritten:
                    unwritten = unwritten[os.write(_STANDARD_OUTPUT, unwritten) :]
