"""The one way in which hosting fails."""

from __future__ import annotations

# DescribeEndpoint's FailureReason has this many characters at most.
_REASON_LENGTH = 1024


class DeploymentFailed(Exception):
    """A variant can't be brought up; the message becomes the endpoint's FailureReason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason if len(reason) <= _REASON_LENGTH else reason[: _REASON_LENGTH - 1] + "…")
