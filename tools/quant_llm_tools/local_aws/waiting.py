"""How a resource that takes time tells CloudFormation that it is ready, or why it never will be."""

from __future__ import annotations

from collections.abc import Callable


class ResourceFailed(Exception):
    """A resource could not be made, changed or removed; the message is the reason on the stack event."""


WAITERS: dict[str, Callable[[str, str], None]] = {}
"""CloudFormation type -> function(physical id, region) that blocks until what was created or updated is
ready, and raises ResourceFailed if it failed."""
