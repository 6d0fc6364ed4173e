"""One embedded AWS for the tests of a module, each of which has stacks of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quant_llm_tools.local_aws.server import LocalAws
from tests.integration.local_aws.account import CODE_BUCKET, Account


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with LocalAws() as aws:
        account = Account(aws)
        account.client("s3").create_bucket(Bucket=CODE_BUCKET)
        yield account
        account.close()
