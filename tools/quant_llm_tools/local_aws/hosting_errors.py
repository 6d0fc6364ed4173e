"""How hosting fails, and what its roles are refused."""

from __future__ import annotations

from botocore.exceptions import ClientError

# DescribeEndpoint's FailureReason has this many characters at most.
_REASON_LENGTH = 1024


class DeploymentFailed(Exception):
    """A variant can't be brought up; the message becomes the endpoint's FailureReason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason if len(reason) <= _REASON_LENGTH else reason[: _REASON_LENGTH - 1] + "…")


class AccessRefused(Exception):
    """The execution role may not do it, or can't be assumed; the message says which."""


def raise_if_refused(error: ClientError) -> None:
    """AccessRefused, in the service's words, if the call failed for want of a permission."""
    if error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException"):
        raise AccessRefused(error.response["Error"]["Message"]) from error
