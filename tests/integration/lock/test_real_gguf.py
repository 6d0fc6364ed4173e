"""The reader on a real model, beside the reference reader (which is slow, so not among the unit tests)."""

from __future__ import annotations

import gguf

from quant_llm_tools.local_aws.hub.catalogue import packaged_model
from quant_llm_tools.lock.gguf import GgufArray, read_gguf_header


def test_reads_the_real_model_as_the_reference_reader_does_and_little_of_it() -> None:
    path = packaged_model()
    taken = 0
    with path.open("rb") as stream:

        def read(start: int, end: int) -> bytes:
            nonlocal taken
            taken += end - start
            stream.seek(start)
            return stream.read(end - start)

        header = read_gguf_header(read, path.stat().st_size)
    reference = gguf.GGUFReader(path)
    assert [(one.name, one.dimensions, one.type.name, one.size) for one in header.tensors] == [
        (one.name, tuple(int(size) for size in one.shape), one.tensor_type.name, one.n_bytes)
        for one in reference.tensors
    ]
    for key, value in header.metadata.items():
        field = reference.get_field(key)
        assert field is not None
        if isinstance(value, GgufArray):
            assert value.length == len(field.data)
        elif value != "":  # a long string, which is not kept
            assert value == field.contents()
    assert taken < 4_000_000
