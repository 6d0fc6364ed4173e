"""A signed URL opens one path, for a while, and nothing else."""

from __future__ import annotations

import pytest

from quant_llm_tools.local_aws.hub.signing import UrlSigner


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_signed_path_opens_until_it_expires(clock: Clock) -> None:
    signer = UrlSigner(lifetime_seconds=60, clock=clock)
    query = signer.sign("/cdn/file")
    clock.now += 59
    assert signer.refusal("/cdn/file", query) is None
    clock.now += 1
    assert signer.refusal("/cdn/file", query) == "Request has expired"


def test_a_later_expiry_breaks_the_signature(clock: Clock) -> None:
    signer = UrlSigner(lifetime_seconds=60, clock=clock)
    query = signer.sign("/cdn/file").replace("Expires=1060", "Expires=9999")
    assert signer.refusal("/cdn/file", query) == "Access denied"


@pytest.mark.parametrize("query", ["", "Expires=9999", "Expires=9999&Signature=%C3%A9", "Signature=0"])
def test_a_query_without_a_right_signature_is_refused(query: str) -> None:
    assert UrlSigner(60).refusal("/cdn/file", query) == "Access denied"


def test_a_signature_does_not_open_another_path_or_another_server() -> None:
    signer = UrlSigner(60)
    assert signer.refusal("/cdn/other", signer.sign("/cdn/file")) == "Access denied"
    assert UrlSigner(60).refusal("/cdn/file", signer.sign("/cdn/file")) == "Access denied"
