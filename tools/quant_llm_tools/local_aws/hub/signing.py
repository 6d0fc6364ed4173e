"""Signed URLs of the CDN: they work for a limited time, for one path, and need no token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode


@dataclass(frozen=True)
class UrlSigner:
    """Signs paths for `lifetime_seconds` with a key of its own."""

    lifetime_seconds: float
    clock: Callable[[], float] = time.time
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def sign(self, path: str) -> str:
        """The query string that opens `path`."""
        expires = str(int(self.clock() + self.lifetime_seconds))
        return urlencode({"Expires": expires, "Signature": self._signature(path, expires)})

    def refusal(self, path: str, query: str) -> str | None:
        """Why the query string does not open `path`, or None if it does."""
        fields = parse_qs(query)
        expires, signature = fields.get("Expires", [""])[0], fields.get("Signature", [""])[0]
        if not hmac.compare_digest(signature.encode(), self._signature(path, expires).encode()):
            return "Access denied"
        return "Request has expired" if self.clock() >= int(expires) else None

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()
