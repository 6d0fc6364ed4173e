"""Small but true GGUF files, written by the format's reference implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter


def write_gguf(path: Path, *, values: int = 64, alignment: int | None = None) -> Path:
    """A GGUF with some metadata and two tensors, the last one of `values` 32-bit floats."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(path, "llama")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    writer.add_name("a model without a mind")
    writer.add_token_list(["<s>", "</s>", "token"])
    writer.add_token_scores([0.0, -1.0, -2.5])
    writer.add_tensor("first", np.zeros((4, 32), dtype=np.float16))
    writer.add_tensor("last", np.ones(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
