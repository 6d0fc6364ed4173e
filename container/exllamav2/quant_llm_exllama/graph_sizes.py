"""The sizes that decode steps are captured in: a few, and every step fits one of them."""

from __future__ import annotations

MOST_ROWS = 32
"""Above it ExLlamaV2 multiplies by cuBLAS, and a step keeps the GPU busy without a graph (config.h)."""

FEWEST_EXL2_ROWS = 3
"""EXL2's kernels clear their output while other blocks may already add to it: nothing orders the two.

On an H100 a step of one row, run twice, gave logits that differ by up to 18; of 3, 7 and 32 rows the same
but for rounding (benchmarks/results/gpu-decode.json). vLLM had the fault in the same code and clears before:
https://github.com/vllm-project/vllm/pull/30719.
"""

_EXACT_ROWS = 4  # rows that the quantised kernels take at once (MAX_Q_GEMM_ROWS_KERNEL in config.h)
_FEWEST_PAGES = 4


def captured_rows(rows: int, fewest: int = 1) -> int:
    """Rows of the graph for a step of `rows` jobs: as many, above 4 the next multiple of 4."""
    return max(fewest, rows if rows <= _EXACT_ROWS else -(-rows // _EXACT_ROWS) * _EXACT_ROWS)


def captured_pages(pages: int) -> int:
    """Pages of each row's table in the graph for tables of `pages`: a power of 2, at least 4."""
    return max(_FEWEST_PAGES, 1 << (pages - 1).bit_length())
