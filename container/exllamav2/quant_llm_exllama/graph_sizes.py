"""The sizes that decode steps are captured in: a few, and every step fits one of them."""

from __future__ import annotations

MOST_ROWS = 32
"""Above it ExLlamaV2 multiplies by cuBLAS, and a step keeps the GPU busy without a graph (config.h)."""

TUNING_CALLS = 201
"""After 200 of a shape the quantised kernels' block size is settled (q_gemm_autotune.cuh)."""

_EXACT_ROWS = 4  # rows that the quantised kernels take at once (MAX_Q_GEMM_ROWS_KERNEL in config.h)
_FEWEST_PAGES = 4


def captured_rows(rows: int) -> int:
    """Rows of the graph for a step of `rows` jobs: as many, above 4 the next multiple of 4."""
    return rows if rows <= _EXACT_ROWS else -(-rows // _EXACT_ROWS) * _EXACT_ROWS


def captured_pages(pages: int) -> int:
    """Pages of each row's table in the graph for tables of `pages`: a power of 2, at least 4."""
    return max(_FEWEST_PAGES, 1 << (pages - 1).bit_length())
