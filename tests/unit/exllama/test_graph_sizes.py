"""The sizes of captured steps: every step fits one, and few are needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quant_llm_exllama.graph_sizes import MOST_ROWS, captured_pages, captured_rows


@given(st.integers(1, MOST_ROWS))
def test_rows_fit_and_the_kernels_take_no_more_turns_for_them(rows: int) -> None:
    captured = captured_rows(rows)
    assert rows <= captured <= MOST_ROWS
    assert -(-captured // 4) == -(-rows // 4)


@given(st.integers(1, 4096))
def test_tables_fit_and_are_less_than_twice_as_long(pages: int) -> None:
    captured = captured_pages(pages)
    assert pages <= captured
    assert captured < 2 * pages or captured == 4


def test_all_steps_up_to_32_jobs_and_32768_tokens_need_66_graphs() -> None:
    sizes = {
        (captured_rows(rows), captured_pages(pages))
        for rows in range(1, MOST_ROWS + 1)
        for pages in range(1, 129)
    }
    assert len({rows for rows, _ in sizes}) == 11
    assert len(sizes) == 66
