"""What a run says on the way."""

from __future__ import annotations

import io

import pytest

from quant_llm_tools.bench.progress import Terminal, told
from tests.unit.bench.made import point


class Screen(io.StringIO):
    """A terminal that keeps what was written to it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("out", [io.StringIO(), Screen()])
def test_each_step_leaves_one_line(out: io.StringIO) -> None:
    progress = Terminal(out)
    progress.step("one stream", of=2)
    progress.request()
    progress.request()
    progress.finished("50.0 tokens/s")
    # What a terminal still shows: of each line the part after the last return to its start.
    shown = [line.rpartition("\r\x1b[K")[2] for line in out.getvalue().split("\n")]
    assert shown == ["one stream: 50.0 tokens/s", ""]


def test_a_terminal_sees_the_requests_go_by() -> None:
    out = Screen()
    progress = Terminal(out)
    progress.step("one stream", of=2)
    progress.request()
    assert out.getvalue().endswith("one stream: 1 of 2")


def test_a_point_is_told_with_its_errors_and_its_end() -> None:
    interrupted = point(2, 100, errors=3).model_copy(update={"complete": False})
    assert told(interrupted) == (
        "4 requests, 100.0 tokens/s, 101.0 a stream, first token 0 ms (p50), 3 errors, interrupted"
    )
