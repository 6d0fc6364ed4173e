from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from quant_llm_tools.local_aws.server import LocalAws
from tests.integration.local_aws.account import CODE_BUCKET, Account
from tests.integration.local_aws.machines import BY_ARN, WAIT, machine, stack, start


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} does not appear"
        time.sleep(0.02)


def test_the_end_of_the_embedded_aws_ends_executions_and_their_functions(tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    with LocalAws() as aws:
        account = Account(aws)
        account.client("s3").create_bucket(Bucket=CODE_BUCKET)
        account.deploy("last", stack(Wait=machine(WAIT), ByArn=machine(BY_ARN)))
        start(account, account.physical_id("last", "Wait"))
        given = {"folder": str(tmp_path), "part": 0, "seconds": 60}
        start(account, account.physical_id("last", "ByArn"), given)
        wait_for(tmp_path / "calls-0")
        account.close()
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    process = int((tmp_path / "calls-0").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert [thread.name for thread in set(threading.enumerate()) - threads] == []
