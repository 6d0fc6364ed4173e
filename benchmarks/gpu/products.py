"""Whether ExLlamaV2's products are right each time: `python3 -m benchmarks.gpu.products <model> <results>`.

Its kernels clear their output in one block and add to it from others, and nothing in one launch orders the
two (vLLM clears before for that: vllm-project/vllm#30719). Each matrix of the model is multiplied again and
again with the same few rows, into an output of large numbers, and compared to the product by cuBLAS.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from exllamav2.ext import exllamav2_ext
from exllamav2.linear import ExLlamaV2Linear

from benchmarks.gpu.machine import gpu_machine
from quant_llm_exllama.exllamav2_backend import ExLlamaV2Backend
from quant_llm_exllama.graph_sizes import MOST_ROWS, TUNING_CALLS
from quant_llm_serving.exllama_options import ExllamaOptions

ROWS = (1, 2, 3, 4, 7, 8, 32)
ROUNDS = 20
WRONG = 0.5  # of the standard deviation of the matrix's products; FP16 sums in any order differ by 0.05
_MANY_ROWS = 2 * MOST_ROWS  # which ExLlamaV2 multiplies by cuBLAS
_BEFORE = 50.0  # what an output holds that was not cleared


def multiplied(rows: torch.Tensor, matrix: ExLlamaV2Linear) -> torch.Tensor:
    """The product as the decoder takes it, in an output that is not clear."""
    size = len(rows), matrix.out_features
    product = torch.full(size, _BEFORE, dtype=torch.half, device=rows.device)
    exllamav2_ext.gemm_half_q_half(rows, matrix.q_handle, product, False)
    return product


def check(matrices: dict[str, ExLlamaV2Linear], count: int) -> dict[str, Any]:
    """How many products of `count` rows are wrong, and the largest difference in standard deviations."""
    generator = torch.Generator("cuda").manual_seed(count)
    rows = {
        size: torch.randn((_MANY_ROWS, size), dtype=torch.half, device="cuda", generator=generator)
        for size in {matrix.in_features for matrix in matrices.values()}
    }
    expected = {name: multiplied(rows[one.in_features], one)[:count] for name, one in matrices.items()}
    for one in {(one.in_features, one.out_features): one for one in matrices.values()}.values():
        for _ in range(TUNING_CALLS):  # from then on the size of a block is settled
            multiplied(rows[one.in_features][:count], one)
    wrong = dict.fromkeys(matrices, 0)
    worst = 0.0
    for _ in range(ROUNDS):
        products = {name: multiplied(rows[one.in_features][:count], one) for name, one in matrices.items()}
        for name, product in products.items():
            difference = (product.float() - expected[name].float()).abs().max()
            share = float(difference / expected[name].float().std())
            worst = max(worst, share)
            wrong[name] += not share <= WRONG
    return {
        "products": ROUNDS * len(matrices),
        "wrong": sum(wrong.values()),
        "largest_difference": round(worst, 4),
        "where": [name for name, times in wrong.items() if times],
    }


def main() -> None:
    """Check the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("results", type=Path)
    arguments = parser.parse_args()
    backend: Any = ExLlamaV2Backend(arguments.model, ExllamaOptions(context_length=512, max_batch_size=32))
    matrices = {
        name: module
        for name, module in backend._model.modules_dict.items()
        if isinstance(module, ExLlamaV2Linear) and module.q_handle
    }
    with torch.inference_mode():
        found = {str(count): check(matrices, count) for count in ROWS}
    result = {"machine": gpu_machine(), "model": arguments.model.name, "rows": found}
    print(json.dumps(result), flush=True)
    arguments.results.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
