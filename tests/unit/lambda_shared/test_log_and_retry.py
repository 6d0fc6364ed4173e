"""Log lines and waits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant_llm_lambda.log import log
from quant_llm_lambda.retry import full_jitter


def test_a_log_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    log("repack.progress", part=1, path=Path("a\nb"), name="\ud800")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0]) == {"event": "repack.progress", "part": 1, "path": "a\nb", "name": "\ud800"}


def test_waits_are_spread_over_all_of_a_growing_span() -> None:
    for failures, most in ((1, 0.5), (3, 2.0), (12, 20.0)):
        waits = [full_jitter(failures) for _ in range(400)]
        assert 0 <= min(waits) < most * 0.1
        assert most * 0.9 < max(waits) <= most
