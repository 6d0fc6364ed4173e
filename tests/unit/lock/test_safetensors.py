"""The safetensors header, and the parameters behind packed tensors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_tools.lock.safetensors import (
    SafetensorsError,
    StoredTensor,
    count_parameters,
    read_safetensors_header,
)


def file(header: Any, body: int = 0) -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(data).to_bytes(8, "little") + data + bytes(body)


def parse(data: bytes) -> list[StoredTensor]:
    def read(start: int, end: int) -> bytes:
        assert 0 <= start <= end <= len(data)
        return data[start:end]

    return read_safetensors_header(read, len(data))


def described(dtype: str = "F16", shape: Any = (2, 3), start: Any = 0, end: Any = 12) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_reads_names_types_and_dimensions() -> None:
    header = {"__metadata__": {"format": "pt"}, "a": described(), "b": described("F32", [], 12, 16)}
    assert parse(file(header, 16)) == [StoredTensor("a", "F16", (2, 3)), StoredTensor("b", "F32", ())]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1234567", "it has 7 bytes"),
        (file({})[:9], "states a header of 2 bytes, expected at most 1"),
        ((2**63).to_bytes(8, "little") + bytes(50), "9,223,372,036,854,775,808 bytes"),
        (file(b"{"), "not JSON"),
        (file(b'"\xff"'), "not JSON"),
        (file(b"[" * 100_000), "not JSON"),
        (file([]), "not a JSON object"),
        (file({"a": 1}), "not described"),
        (file({"a": described(start="0")}, 12), "not described"),
        (file({"a": described(dtype="F128")}, 12), "unknown type 'F128'"),
        (file({"a": described(shape=[-2, -3])}, 12), "has the shape"),
        (file({"a": described(shape=[2.0, 3])}, 12), "has the shape"),
        (file({"a": described(shape=[True, 6])}, 12), "has the shape"),
        (file({"a": described(shape=[10**30])}, 12), "can't lie at 0 to 12"),
        (file({"a": described(start=-12, end=0)}, 12), "can't lie"),
        (file({"a": described()}, 11), "cut off: 'a' ends 12 bytes after the header, the file has 11"),
    ],
    ids=lambda value: value if isinstance(value, str) else "bytes",
)
def test_damaged_header_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(SafetensorsError, match=message):
        parse(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
entries = st.fixed_dictionaries({"dtype": json_values, "shape": json_values, "data_offsets": json_values})


@given(st.dictionaries(st.text(max_size=5), json_values | entries, max_size=3) | st.binary(max_size=50))
def test_random_headers_only_raise_the_clear_error(header: Any) -> None:
    try:
        parse(file(header, 8))
    except SafetensorsError:
        return


def test_plain_weights_are_counted_one_by_one_and_tables_are_not() -> None:
    tensors = [
        StoredTensor("model.embed_tokens.weight", "BF16", (100, 8)),
        StoredTensor("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", (4,)),
        StoredTensor("scale", "F32", ()),
    ]
    assert count_parameters(tensors, None) == 801


@pytest.mark.parametrize(
    ("method", "bits", "dimensions"),
    [("awq", 4, (128, 256 // 8)), ("gptq", 4, (128 // 8, 256)), ("gptq", 3, (128 // 32 * 3, 256))],
)
def test_packed_words_stand_for_the_weights_in_them(
    method: str, bits: int, dimensions: tuple[int, int]
) -> None:
    tensors = [
        StoredTensor("p.qweight", "I32", dimensions),
        StoredTensor("p.qzeros", "I32", (1, 32)),
        StoredTensor("p.scales", "F16", (1, 256)),
        StoredTensor("p.g_idx", "I32", (128,)),
        StoredTensor("p.bias", "F16", (256,)),
    ]
    assert count_parameters(tensors, bits) == 128 * 256 + 256


def test_exl2_is_counted_by_its_inputs_and_outputs() -> None:
    tensors = [
        StoredTensor("p.q_weight", "I32", (13, 256)),
        StoredTensor("p.q_invperm", "I32", (128,)),
        StoredTensor("p.q_groups", "I16", (2,)),
        StoredTensor("p.q_scale", "I32", (1, 32)),
        StoredTensor("p.q_scale_max", "F16", (1,)),
    ]
    assert count_parameters(tensors, None) == 128 * 256


def test_fp8_weights_are_counted_without_their_scales() -> None:
    tensors = [
        StoredTensor("p.weight", "F8_E4M3", (64, 64)),
        StoredTensor("p.weight_scale_inv", "F32", (1, 1)),
        StoredTensor("p.input_scale", "F32", ()),
    ]
    assert count_parameters(tensors, None) == 64 * 64


@pytest.mark.parametrize("bits", [None, 5])
def test_packed_weights_without_fitting_bits_are_refused(bits: int | None) -> None:
    with pytest.raises(SafetensorsError, match=rf"'p.qweight' is packed.*is {bits}"):
        count_parameters([StoredTensor("p.qweight", "I32", (1, 33))], bits)


def test_exl2_weights_without_permutation_are_refused() -> None:
    with pytest.raises(SafetensorsError, match=r"no '.q_invperm' beside it"):
        count_parameters([StoredTensor("p.q_weight", "I32", (2, 2))], None)
