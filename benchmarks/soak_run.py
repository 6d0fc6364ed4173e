"""Whether the container's adapter leaks.

The entrypoint in front of the stub engine of the tests, with all that callers do at once: whole answers and
streams, callers who leave in the middle, wrong and broken requests, connections that are kept and that are
not. Every half minute a line tells the adapter's resident memory and its open file handles. It ends with 1 if
either has grown, after the first fifth of the time, or an answer was a 5xx.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from statistics import median

from benchmarks.serving_machine import print_serving_machine
from tests.container import process

_CALLERS = 16
_LINE_SECONDS = 30.0
_WARM_UP = 0.2
_MAY_GROW_MIB = 4.0
_MAY_GROW_HANDLES = 2.0


class Callers:
    """Threads that do what callers do, until told to stop."""

    def __init__(self, port: int) -> None:
        """Start them."""
        self.statuses: Counter[str] = Counter()
        self._port = port
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=[number]) for number in range(_CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish what it does."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - the same requests in every run
        while not self._stop.is_set():
            with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
                for _ in range(chance.choice((1, 1, 10))):
                    try:
                        what = self._call(connection, chance)
                    except (http.client.HTTPException, OSError) as error:
                        what = type(error).__name__
                    with self._lock:
                        self.statuses[what] += 1
                    if what in ("left", "broken", "400 broken") or not what[0].isdigit():
                        break

    def _call(self, connection: http.client.HTTPConnection, chance: random.Random) -> str:
        kind = chance.choice(("whole", "stream", "leave", "wrong", "broken", "long", "ping", "metrics"))
        if kind in ("ping", "metrics"):
            connection.request("GET", f"/{kind}")
        elif kind == "broken":
            connection.connect()
            connection.sock.sendall(chance.randbytes(chance.randrange(1, 500)) + b"\r\n\r\n")
            with suppress(TimeoutError):
                connection.sock.settimeout(0.05)
                connection.sock.recv(1000)
            return "broken"
        else:
            body: dict[str, object] = {"prompt": "x", "max_tokens": chance.randrange(1, 60)}
            if kind == "wrong":
                body["max_tokens"] = "many"
            if kind == "long":
                body["user"] = "x" * chance.randrange(200_000)
            body["stream"] = kind == "stream" or (kind == "leave" and chance.random() < 0.5)
            connection.request("POST", "/invocations", body=json.dumps(body))
            if kind == "leave":
                time.sleep(chance.random() * 0.2)
                return "left"
        answer = connection.getresponse()
        answer.read()
        return str(answer.status)


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))) / 1024


def _handles(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def main() -> int:
    """Run and print; returns 1 for a leak or a 5xx."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minutes", type=float, nargs="?", default=10.0)
    minutes = parser.parse_args().minutes
    print_serving_machine()
    print(f"\n{_CALLERS} callers, {minutes:g} minutes\n")
    print(f"{'minute':>7} {'RSS MiB':>8} {'handles':>8} {'requests':>9}", flush=True)
    lines: list[tuple[float, float, int]] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        container = process.stub(Path(directory), {"STUB_INTERVAL": "0.005"}, Path("/dev/null"))
        try:
            container.until_healthy()
            print(
                f"{0:7.1f} {_resident_mib(container.pid):8.1f} {_handles(container.pid):8} {0:9}", flush=True
            )
            callers = Callers(container.port)
            started = time.monotonic()
            while (passed := (time.monotonic() - started) / 60) < minutes:
                time.sleep(min(_LINE_SECONDS, (minutes - passed) * 60))
                now = (time.monotonic() - started) / 60
                lines.append((now, _resident_mib(container.pid), _handles(container.pid)))
                print(_line(lines[-1], callers), flush=True)
            callers.stop()
            time.sleep(3)  # connections that are being closed linger for two seconds
            idle = (minutes, _resident_mib(container.pid), _handles(container.pid))
            print(f"\n{_line(idle, callers)}  with no callers left")
            healthy = container.ping() == 200
        finally:
            container.kill()
    return _verdict(lines, minutes, callers.statuses, healthy=healthy)


def _line(values: tuple[float, float, int], callers: Callers) -> str:
    minute, resident, handles = values
    return f"{minute:7.1f} {resident:8.1f} {handles:8} {callers.statuses.total():9}"


def _verdict(
    lines: list[tuple[float, float, int]], minutes: float, statuses: Counter[str], *, healthy: bool
) -> int:
    warm = [line for line in lines if line[0] > minutes * _WARM_UP]
    early, late = warm[: len(warm) // 2], warm[len(warm) // 2 :]
    grown_mib = median(line[1] for line in late) - median(line[1] for line in early or late)
    grown_handles = median(line[2] for line in late) - median(line[2] for line in early or late)
    errors = {status: count for status, count in statuses.items() if status.startswith("5")}
    print(f"answers: {json.dumps(dict(sorted(statuses.items())))}")
    print(
        f"after the first {minutes * _WARM_UP:g} minutes, the median of the second half against the first: "
        f"memory {grown_mib:+.1f} MiB (at most {_MAY_GROW_MIB:+g}), handles {grown_handles:+g} "
        f"(at most {_MAY_GROW_HANDLES:+g}); 5xx: {errors or 'none'}; healthy: {healthy}"
    )
    leaks = grown_mib > _MAY_GROW_MIB or grown_handles > _MAY_GROW_HANDLES
    return int(leaks or bool(errors) or not healthy)
