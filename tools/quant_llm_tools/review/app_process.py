"""Runs the CDK app of one checkout with that checkout's own code, offline: `app_process.py ROOT [FOLDER …]`.

ROOT is the checkout, each FOLDER a source root in it. The interpreter's environment has this project
installed for editing, which means the code of the checkout that the command was started from: it must not
stand in for what the other checkout doesn't have.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

_INSTALLED = Path(__file__).resolve().parents[3]
_CONNECTIONS = ("socket.connect", "socket.getaddrinfo", "socket.sendto")


def _is_of_installed_project(entry: str) -> bool:
    path = Path(entry).resolve()
    return path.is_relative_to(_INSTALLED) and not path.is_relative_to(sys.prefix)


def _refuse_connections(event: str, _arguments: object) -> None:
    if event in _CONNECTIONS:
        raise RuntimeError(f"{event}: synth is offline, the app opened a connection")


def main() -> None:
    """Take the project's own code from ROOT alone, then run its app."""
    root, *folders = sys.argv[1:]
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if not getattr(finder, "__module__", "").startswith("__editable__")
    ]
    sys.path[:] = [entry for entry in sys.path if not _is_of_installed_project(entry)]
    sys.path[:0] = [root, *(str(Path(root, folder)) for folder in folders)]
    sys.addaudithook(_refuse_connections)
    os.chdir(root)
    sys.argv = ["app.py"]
    runpy.run_path("app.py", run_name="__main__")


if __name__ == "__main__":
    main()
