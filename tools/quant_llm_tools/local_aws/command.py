"""`quantllm local`: the embedded AWS and the hub stand-in in the background, for work by hand."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quant_llm.errors import QuantLlmError
from quant_llm_tools.local_aws import state
from quant_llm_tools.local_aws.llama_cpp_library import require_llama_cpp

_START_SECONDS = 60
# Containers have 30 seconds to finish what they do.
_STOP_SECONDS = 45
_POLL_SECONDS = 0.05


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `local up`, `local down`, `local status` and `local env`."""
    parser = subparsers.add_parser("local", help="run the embedded AWS and the hub stand-in on this machine")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    up = actions.add_parser("up", help="start both in the background, or say that they run")
    up.add_argument("--foreground", action="store_true", help="stay, and stop at Ctrl-C")
    up.add_argument("--port", type=_port, default=0, help="the embedded AWS's port (default: a free one)")
    up.set_defaults(run=_up)
    down = actions.add_parser("down", help="stop both, and all that they started")
    down.set_defaults(run=_down)
    status = actions.add_parser("status", help="show whether they run, the stacks, endpoints and components")
    status.add_argument("--json", action="store_true", help="print one JSON document")
    status.set_defaults(run=_status)
    env = actions.add_parser("env", help='print variables for other tools: eval "$(quantllm local env)"')
    env.add_argument("--json", action="store_true", help="print one JSON document")
    env.set_defaults(run=_env)
    for action in (up, down, status, env):
        action.add_argument(
            "--directory",
            type=Path,
            default=state.STATE_DIRECTORY,
            help="where the state, the log and the files of the embedded AWS are (default: in the checkout)",
        )


def _port(text: str) -> int:
    """A port's number; one that is none would be taken modulo 65,536 by the socket."""
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected 0 to 65535")
    return int(text)


def _up(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory.resolve()
    with _alone(directory):
        found = state.running(directory)
        if found is not None:
            print(f"already running: {found.endpoint_url} (process {found.pid})")
            return 0
        require_llama_cpp()
        state.clear(directory)
        if not arguments.foreground:
            found = _start(directory, arguments.port)
    if found is None:
        # moto takes a second or two to import: none of the other actions should.
        from quant_llm_tools.local_aws.serving import serve

        serve(directory, arguments.port)
        return 0
    print(f"embedded AWS:  {found.endpoint_url}")
    print(f"hub stand-in:  {found.hub_url}")
    print(f"log:           {_log(directory)}")
    named = (
        "" if directory == state.STATE_DIRECTORY.resolve() else f" --directory {shlex.quote(str(directory))}"
    )
    print(f'point tools at them with: eval "$(quantllm local env{named})"')
    return 0


def _start(directory: Path, port: int) -> state.State:
    with _log(directory).open("w") as log:
        process = subprocess.Popen(  # noqa: S603 - this interpreter on our own module
            [sys.executable, "-m", "quant_llm_tools.local_aws", str(directory), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = state.running(directory)
        if found is not None:
            # It is meant to outlive this process, so nobody waits for it.
            process.returncode = 0
            return found
        time.sleep(_POLL_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    last = _log(directory).read_text().strip().rpartition("\n")[2]
    raise QuantLlmError(f"the embedded AWS did not start: {last} (all of it in {_log(directory)})")


def _down(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory.resolve()
    with _alone(directory):
        found = state.running(directory)
        if found is None:
            state.clear(directory)
            print("not running")
            return 0
        os.kill(found.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while found.alive and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if found.alive:
            print(f"process {found.pid} did not stop within {_STOP_SECONDS} s: killing it", file=sys.stderr)
            with contextlib.suppress(ProcessLookupError):
                # Its group is its own if it was started in the background.
                in_background = os.getpgid(found.pid) == found.pid
                (os.killpg if in_background else os.kill)(found.pid, signal.SIGKILL)
        state.clear(directory)
    print("stopped")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory.resolve()
    found = state.running(directory)
    if found is None:
        print(json.dumps({"running": False}) if arguments.json else "not running")
        return 1
    there = _ask(found)
    if arguments.json:
        place = {"endpoint_url": found.endpoint_url, "hub_url": found.hub_url, "pid": found.pid}
        print(json.dumps({"running": True, **place, "log": str(_log(directory)), **there}, indent=2))
        return 0
    print(f"embedded AWS: {found.endpoint_url}, hub stand-in: {found.hub_url} (process {found.pid})")
    for kind in ("stacks", "endpoints", "components"):
        title = "inference components" if kind == "components" else kind
        print(f"{title}:" if there[kind] else f"{title}: none")
        for entry in there[kind]:
            copies = f", copies: {entry['copies']}" if "copies" in entry else ""
            reason = f": {entry['reason']}" if entry["reason"] else ""
            print(
                f"  {entry['name']} ({entry['account']}, {entry['region']}) {entry['status']}{copies}{reason}"
            )
    return 0


def _ask(found: state.State) -> dict[str, list[Mapping[str, Any]]]:
    import urllib3

    try:
        answer = urllib3.PoolManager().request(
            "GET", f"{found.endpoint_url}/_quantllm/status", timeout=10, retries=False
        )
        content: dict[str, list[Mapping[str, Any]]] = answer.json()
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise QuantLlmError(
            f"process {found.pid} runs, but {found.endpoint_url} does not answer: {error}"
        ) from None
    return content


def _env(arguments: argparse.Namespace) -> int:
    environment = state.running_environment(arguments.directory.resolve())
    if environment is None:
        raise QuantLlmError("the embedded AWS is not running: start it with `quantllm local up`")
    if arguments.json:
        print(json.dumps(environment, indent=2))
    else:
        for name, value in environment.items():
            print(f"export {name}={shlex.quote(value)}")
    return 0


def _log(directory: Path) -> Path:
    return directory / "server.log"


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One `up` or `down` at a time."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise QuantLlmError(
            f"{directory}: can't be written: {error.strerror}; name another folder by --directory"
        ) from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
