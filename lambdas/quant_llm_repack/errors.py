"""The errors that end a repack. Each message is one sentence for the stack's event.

The state machine knows them by the names of their classes, and tries again after those of `RETRIED` alone.
"""

from __future__ import annotations


class RepackError(Exception):
    """The artifact can't be made; the message says what, where, what was given and what is expected."""


class RequestError(RepackError):
    """The request itself is wrong: no retry can mend it."""


class HubError(RepackError):
    """The hub does not give the file: missing, gated, refused, or failing again and again."""


class HubUnavailableError(HubError):
    """The hub failed again and again; it may be well later."""


class MismatchError(RepackError):
    """What the hub gives is not what the lock names."""


class StoreError(RepackError):
    """S3 refuses, or holds something else under the artifact's key."""


class StoreUnavailableError(StoreError):
    """S3 failed again and again, or another deploy is in the way; a later try may go through."""


class UploadGoneError(StoreError):
    """The upload was completed or aborted by somebody else."""


class OutOfTimeError(RepackError):
    """The function's time is nearly over."""


class EndedError(RepackError):
    """The state machine's execution ended before its own end: somebody stopped it, or its time is over."""


RETRIED = tuple(error.__name__ for error in (HubUnavailableError, StoreUnavailableError, OutOfTimeError))
