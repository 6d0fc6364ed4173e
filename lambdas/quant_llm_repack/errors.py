"""The errors that end a repack. Each message is one sentence for the stack's event."""

from __future__ import annotations


class RepackError(Exception):
    """The artifact can't be made; the message says what, where, what was given and what is expected."""


class RequestError(RepackError):
    """The request itself is wrong: no retry can mend it."""


class HubError(RepackError):
    """The hub does not give the file: missing, gated, refused, or failing again and again."""


class MismatchError(RepackError):
    """What the hub gives is not what the lock names."""


class StoreError(RepackError):
    """S3 refuses, or holds something else under the artifact's key."""


class OutOfTimeError(RepackError):
    """The function's time is nearly over."""
