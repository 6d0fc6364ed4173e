"""A headless Chromium, steered over its pipe with the DevTools protocol: no driver, no port, no library.

https://chromedevtools.github.io/devtools-protocol/, `--remote-debugging-pipe`: it reads commands from handle
3 and writes to handle 4, JSON with a zero byte after each message.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROGRAM = "chromium-headless-shell"
_SECONDS = 30
_SAFE_HANDLE = 10  # 3 and 4 are the browser's own

Json = dict[str, Any]


class Browser:
    """One page. What it tells of itself unasked is kept in `events`."""

    def __init__(self, commands: int, messages: int) -> None:
        self.events: list[Json] = []
        self._commands = commands
        self._messages = messages
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Json:
        """Send a command and return its result."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (message := self._read()).get("id") != number:
            self.events.append(message)
        assert "error" not in message, message
        result: Json = message["result"]
        return result

    def open(self, page: Path, *, width: int, dark: bool) -> None:
        """Show a file, at this width and in light or dark, and wait until it has been loaded."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not self.named("Page.loadEventFired"):
            self.events.append(self._read())

    def named(self, method: str) -> list[Json]:
        """The events of this name since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(picture))

    def _read(self) -> Json:
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._messages], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{PROGRAM} said nothing for {_SECONDS} seconds"
            block = os.read(self._messages, 1 << 16)
            assert block, f"{PROGRAM} has ended"
            self._rest += block
        text, _, self._rest = self._rest.partition(b"\0")
        message: Json = json.loads(text)
        return message


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser that ends with the block; `profile` is a folder for its files."""
    with contextlib.ExitStack() as handles:
        theirs_to_read, ours_to_write = _pipe(handles)
        ours_to_read, theirs_to_write = _pipe(handles)
        # Its sandbox can't be had as root, and all that it opens is a page of ours.
        options = ["--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [
                "/bin/bash",
                "-c",
                f'exec "$@" 3<&{theirs_to_read} 4>&{theirs_to_write}',
                "browser",
                PROGRAM,
                "--remote-debugging-pipe",
                *options,
            ],
            pass_fds=(theirs_to_read, theirs_to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Browser(ours_to_write, ours_to_read)
        finally:
            process.terminate()
            process.wait(10)


def _pipe(handles: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe's ends to read and to write, none of them 3 or 4."""
    ends = []
    for handle in os.pipe():
        ends.append(fcntl.fcntl(handle, fcntl.F_DUPFD, _SAFE_HANDLE))
        os.close(handle)
        handles.callback(os.close, ends[-1])
    return ends[0], ends[1]
