"""Small but true GGUF files, written by the format's reference implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter


def write_gguf(path: Path, *, values: int = 64, alignment: int | None = None, tokens: int = 3) -> Path:
    """A GGUF with `tokens` words and two tensors, the last one of `values` 32-bit floats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(path, "llama")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    writer.add_name("a model without a mind")
    writer.add_token_list([f"token {number}" for number in range(tokens)])
    writer.add_token_scores([-1.0] * tokens)
    writer.add_tensor("first", np.zeros((4, 32), dtype=np.float16))
    writer.add_tensor("last", np.ones(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_lora(path: Path, *, width: int, rank: int = 4, seed: int = 0) -> Path:
    """A LoRA adapter for a Llama of `width`: it turns the first layer's queries about, so answers change."""
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    random = np.random.default_rng(seed)
    a = random.normal(size=(rank, width)).astype(np.float32)
    b = random.normal(size=(width, rank)).astype(np.float32)
    writer.add_tensor("blk.0.attn_output.weight.lora_a", a)
    writer.add_tensor("blk.0.attn_output.weight.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
