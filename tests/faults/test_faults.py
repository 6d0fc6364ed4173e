"""Forty of the seeded runs; `make faults` does a thousand. A failure's seed is in the test's name."""

from __future__ import annotations

import pytest

from tests.faults.run import main, run
from tests.faults.scheduler import Deadlock, Scheduler


@pytest.mark.parametrize("seed", range(40))
def test_a_repack_under_faults_ends_right_or_in_a_clear_error(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("seed", [0, 9])
def test_a_seed_replays(seed: int) -> None:
    assert run(seed) == run(seed)


def test_a_failing_seed_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(seed: int) -> None:
        raise AssertionError("left behind")

    monkeypatch.setattr("tests.faults.run.run", fail)
    assert main(["--runs", "1", "--seed", "7"]) == 1
    assert "python -m tests.faults.run --runs 1 --seed 7" in capsys.readouterr().out


def test_a_wait_that_nobody_ends_is_found() -> None:
    scheduler = Scheduler()
    with pytest.raises(Deadlock):
        scheduler.run(lambda: scheduler.pause(float("inf")))
