"""Safetensors files from NumPy arrays, an array at a time.

The `safetensors` package copies all tensors into one buffer first: too much for a model of 34 billion
parameters beside others. Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

Tensors = dict[str, np.ndarray]

_DTYPES = {"float16": "F16", "int32": "I32", "int16": "I16"}


def write_safetensors(file: Path, tensors: Tensors) -> None:
    """Write `tensors` under their names; an array may be there twice."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in tensors.items():
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as output:
        output.write(len(text).to_bytes(8, "little"))
        output.write(text)
        for array in tensors.values():
            np.ascontiguousarray(array).tofile(output)
