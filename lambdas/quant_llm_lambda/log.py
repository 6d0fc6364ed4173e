"""Log lines as JSON objects, one a line, so that CloudWatch Logs Insights and programs can read them."""

from __future__ import annotations

import json
from typing import Any


def log(event: str, **fields: Any) -> None:
    """Print `{"event": event, …fields}` on stdout; values that JSON lacks are written as text.

    The caller keeps secrets out of `fields`: what is given is written.
    """
    # In one write, so that the lines of several threads stay whole.
    print(json.dumps({"event": event, **fields}, default=str) + "\n", end="", flush=True)
