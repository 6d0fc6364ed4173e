"""Reads the hub's answers: which ranges they hold, when to ask again, what a refusal means."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from quant_llm_repack.errors import HubError

_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_same_origin(one: str, other: str) -> bool:
    """Whether two URLs have one scheme, host and port: only then may a token for one go to the other."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


def content_range(headers: Mapping[str, str]) -> tuple[int, int, int] | None:
    """First byte, stop (exclusive) and the file's size by `Content-Range`; None where that is missing."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", ""))
    return (int(match[1]), int(match[2]) + 1, int(match[3])) if match else None


def linked_sha256(headers: Mapping[str, str]) -> str | None:
    """The sha256 that the hub names for a file in LFS or xet storage; None for a small file (SHA-1)."""
    match = re.fullmatch(r'(?:W/)?"?([0-9a-f]{64})"?', headers.get("X-Linked-Etag", ""))
    return match[1] if match else None


def linked_size(status: int, headers: Mapping[str, str]) -> int | None:
    """The file's bytes by the answer to HEAD; None where a mirror leaves them out of its redirect."""
    size = headers.get("X-Linked-Size") or (headers.get("Content-Length") if status == 200 else None)
    return int(size) if size and size.isdecimal() else None


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the hub asks to wait, 0 when it doesn't.

    By `RateLimit: "resolvers";r=0;t=42`, which is on every answer and counts when nothing remains (r=0), or
    by `Retry-After` in seconds or as a date.
    """
    if match := re.search(r";\s*r=0\s*;\s*t=(\d+)", headers.get("RateLimit", "")):
        return float(match[1])
    value = headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def is_transient(status: int) -> bool:
    """Whether the same request may be answered well later."""
    return status in (408, 429) or status >= 500


def refusal(
    status: int, headers: Mapping[str, str], *, what: str, repository: str, has_token: bool
) -> HubError:
    """The error for an answer of the hub that no retry mends; `what` names file, repository and commit."""
    code = headers.get("X-Error-Code", "")
    if code == "GatedRepo" or status == 403:
        reason = f"the repository is gated: {_access(has_token)} at the hub's page of {repository}"
    elif status == 401:
        # The hub doesn't tell strangers whether a repository exists.
        reason = (
            "the hub does not accept the token of token_secret"
            if has_token
            else "the repository is private, gated or missing: name the secret with a token in token_secret"
        )
    elif status == 404:
        reason = {
            "RepoNotFound": "there is no such repository, or the token may not see it",
            "RevisionNotFound": "there is no such commit",
        }.get(code, "there is no such file at this commit")
    else:
        reason = "the hub refused it"
    return HubError(f"{what}: {reason} (HTTP status {status})")


def _access(has_token: bool) -> str:
    if has_token:
        return "the account of the token in token_secret must ask for access"
    return "name the secret with a hub token in token_secret, and let its account ask for access"
