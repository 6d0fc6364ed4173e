"""Two agencies beside each other in one account of the embedded AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quant_llm_tools.local_aws.server import LocalAws
from tests.integration.isolation.accesses import CHAT, DRAFT, KEPT
from tests.integration.isolation.agencies import Agency, Clients, deploy
from tests.integration.local_aws.account import Account


class World:
    """Agency A, agency B, and sessions of any of their roles."""

    def __init__(self, account: Account, ours: Agency, theirs: Agency) -> None:
        self.account = account
        self.ours = ours
        self.theirs = theirs
        self._sessions: dict[str, Clients] = {}

    def acting_as(self, path: str) -> Clients:
        """With the credentials of agency A's role, by the construct's path."""
        if path not in self._sessions:
            self._sessions[path] = Clients(self.account, self.ours.roles[path])
        return self._sessions[path]

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("agencies")
    with LocalAws() as aws:
        account = Account(aws)
        ours, theirs = deploy(account, directory, ("health", "justice"))
        for agency in (ours, theirs):
            for key in (CHAT, DRAFT, "work/a"):
                account.client("s3").put_object(Bucket=agency.bucket, Key=key, Body=b"weights")
            account.client("s3").put_object(Bucket=agency.data_bucket, Key=KEPT, Body=b"asked")
        world = World(account, ours, theirs)
        yield world
        world.close()
        account.close()
