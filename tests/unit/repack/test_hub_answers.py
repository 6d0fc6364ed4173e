"""What the hub's headers and statuses mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from quant_llm_repack.hub_answers import (
    content_range,
    is_same_origin,
    linked_sha256,
    linked_size,
    refusal,
    retry_after,
)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("https://hub.example/other", True),
        ("https://hub.example:443/", True),
        ("http://hub.example/", False),
        ("https://hub.example:8443/", False),
        ("https://cdn.hub.example/", False),
        ("https://hub.example.evil/", False),
        ("https://hub.example@evil.example/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(other: str, same: bool) -> None:
    assert is_same_origin("https://hub.example/a", other) is same


@pytest.mark.parametrize(
    ("header", "meaning"),
    [("bytes 0-9/20", (0, 10, 20)), ("bytes 5-5/6", (5, 6, 6)), ("bytes 0-9/*", None), ("", None)],
)
def test_content_range(header: str, meaning: tuple[int, int, int] | None) -> None:
    assert content_range({"Content-Range": header}) == meaning


def test_only_an_lfs_etag_is_a_sha256() -> None:
    assert linked_sha256({"X-Linked-Etag": f'"{"ab" * 32}"'}) == "ab" * 32
    assert linked_sha256({"X-Linked-Etag": f'"{"ab" * 20}"'}) is None
    assert linked_sha256({"ETag": f'"{"ab" * 32}"'}) is None


def test_the_length_of_a_redirects_own_body_is_not_the_files() -> None:
    assert linked_size(302, {"Content-Length": "1200"}) is None
    assert linked_size(302, {"Content-Length": "1200", "X-Linked-Size": "7"}) == 7
    assert linked_size(200, {"Content-Length": "1200"}) == 1200


def test_how_long_to_wait() -> None:
    assert retry_after({}) == 0
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "soon"}) == 0
    assert retry_after({"RateLimit": '"resolvers";r=0;t=42', "Retry-After": "7"}) == 42
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 < retry_after({"Retry-After": in_a_minute}) <= 60
    long_ago = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    assert retry_after({"Retry-After": long_ago}) == 0


def test_a_quota_that_is_not_used_up_asks_for_no_wait() -> None:
    """The header is on every answer, a 503 as well."""
    assert retry_after({"RateLimit": '"resolvers";r=2999;t=300'}) == 0
    assert retry_after({"RateLimit": '"resolvers";r=10;t=300', "Retry-After": "3"}) == 3


@pytest.mark.parametrize(
    ("status", "code", "has_token", "sentence"),
    [
        (404, "EntryNotFound", False, "there is no such file at this commit"),
        (404, "RevisionNotFound", False, "there is no such commit"),
        (404, "RepoNotFound", True, "there is no such repository, or the token may not see it"),
        (
            401,
            "RepoNotFound",
            False,
            "private, gated or missing: name the secret with a token in token_secret",
        ),
        (401, "", True, "the hub does not accept the token of token_secret"),
        (401, "GatedRepo", False, "gated: name the secret with a hub token in token_secret"),
        (403, "GatedRepo", True, "the account of the token in token_secret must ask for access"),
        (400, "", False, "the hub refused it"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, code: str, has_token: bool, sentence: str) -> None:
    error = refusal(
        status, {"X-Error-Code": code}, what="q.gguf of a/b", repository="a/b", has_token=has_token
    )
    assert sentence in str(error)
    assert str(error).startswith("q.gguf of a/b: ")
    assert str(error).endswith(f"(HTTP status {status})")
