"""What Transformers makes of a shape: `python3 -m benchmarks.gpu.baseline CodeLlama-7B [--eight-bit]`.

The model is made on the GPU, from its config and with random weights, and generates greedily as it comes: no
server, no compiler. With --eight-bit its layers are rounded by bitsandbytes (LLM.int8). Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

import pynvml
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.gpu.memory import polled
from benchmarks.gpu.random_models import SHAPES, Shape, llama_config
from benchmarks.gpu.throughput import PROMPT, Load

_OUTLIERS = 6.0  # bitsandbytes' default: larger inputs are multiplied in FP16


def model_of(shape: Shape) -> Any:
    """The model in BF16, in the GPU's memory."""
    config = LlamaConfig(**llama_config(shape))
    with torch.device("cuda"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def to_eight_bit(model: Any) -> None:
    """Round the layers' matrices in place, one after the other; the head stays, as Transformers leaves it."""
    import bitsandbytes

    for name, matrix in list(model.model.named_modules()):
        if isinstance(matrix, nn.Linear):
            codes, scales, _ = bitsandbytes.functional.int8_vectorwise_quant(matrix.weight.data.half())
            rounded = bitsandbytes.nn.Linear8bitLt(
                matrix.in_features,
                matrix.out_features,
                bias=False,
                has_fp16_weights=False,
                threshold=_OUTLIERS,
                device="meta",
            )
            rounded.weight = bitsandbytes.nn.Int8Params(
                codes, requires_grad=False, has_fp16_weights=False, CB=codes, SCB=scales
            )
            model.model.set_submodule(name, rounded)
            matrix.weight = None
    torch.cuda.empty_cache()


def weight_bytes(model: Any) -> int:
    """What a step reads: all but the input embedding, of which it reads a row."""
    unread = model.get_input_embeddings().weight
    return sum(one.nbytes for one in model.parameters() if one is not unread)


def run(model: Any, load: Load) -> dict[str, float]:
    """Medians of the load's rounds; all its streams are one batch."""
    # A token is a byte here, as in the other formats' tokenizer.
    prompt = torch.tensor([list(PROMPT.format(0).encode())] * load.streams, device="cuda")
    seconds = [_seconds(model, prompt, load.tokens) for _ in range(load.rounds + 1)]
    first = [_seconds(model, prompt, 1) for _ in range(load.rounds + 1)]
    each = statistics.median(seconds[1:])
    return {
        "tokens_per_s": round(load.streams * load.tokens / each, 2),
        "ttft_ms": round(statistics.median(first[1:]) * 1e3, 2),
    }


def _seconds(model: Any, prompt: Tensor, tokens: int) -> float:
    torch.cuda.synchronize()
    started = time.perf_counter()
    output = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
    )
    torch.cuda.synchronize()
    if output.shape[1] != prompt.shape[1] + tokens:
        raise RuntimeError(f"got {output.shape[1] - prompt.shape[1]} tokens, expected {tokens}")
    return time.perf_counter() - started


def main() -> None:
    """Measure the shape that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--eight-bit", action="store_true")
    parser.add_argument("--loads", type=json.loads, required=True, help="[[streams, tokens, rounds], ...]")
    arguments = parser.parse_args()
    pynvml.nvmlInit()
    with torch.no_grad():
        model = model_of(SHAPES[arguments.shape])
        if arguments.eight_bit:
            to_eight_bit(model)
        with polled(alone=False) as use:
            use.group = os.getpgid(0)
            measured = {
                f"streams_{load.streams}": {"in_process": run(model, load)}
                for load in (Load(*values) for values in arguments.loads)
            }
    print(json.dumps({**measured, "weight_bytes": weight_bytes(model), "peak_mib": use.peak}))


if __name__ == "__main__":
    main()
