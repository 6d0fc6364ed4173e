"""Other quantisations of a GGUF file: `python3 -m benchmarks.gpu.requantise <file> <directory> Q8_0 Q4_0`.

The weights are dequantised, rounded to BF16, and quantised by the `gguf` package, round to nearest as
llama.cpp's own Q8_0 and Q4_0 are. The embeddings, which are the head too, have 8 bits at least. So each file
is a quantisation of what `reference` writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
from gguf import GGMLQuantizationType as GgmlType
from gguf import quants

_KEPT = (GgmlType.F32, GgmlType.F16, GgmlType.BF16)
_EMBEDDINGS = "token_embd.weight"


def requantise(source: Path, target: Path, kind: GgmlType) -> None:
    """Write `source` to `target` with its quantised tensors as `kind`."""
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            subtype = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub_type=subtype)
    for tensor in reader.tensors:
        if tensor.tensor_type in _KEPT:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        wanted = GgmlType.Q8_0 if tensor.name == _EMBEDDINGS and kind not in _KEPT else kind
        values = quants.dequantize(tensor.data, tensor.tensor_type)
        rounded = quants.dequantize(quants.quantize(values, GgmlType.BF16), GgmlType.BF16)
        writer.add_tensor(tensor.name, quants.quantize(rounded, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("kinds", nargs="+")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for wanted in arguments.kinds:
        requantise(arguments.source, arguments.directory / f"{wanted.lower()}.gguf", GgmlType[wanted])
