"""The GGUF reader against files of the reference writer, the real SmolLM2, and hostile bytes."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_llm_tools.lock.gguf import (
    LARGEST_READ_BYTES,
    GgufArray,
    GgufError,
    GgufHeader,
    read_gguf_header,
)
from quant_llm_tools.lock.gguf_types import FILE_TYPES, TENSOR_TYPES

REMOVED_FROM_GGML = {4, 5, 31, 32, 33, 36, 37, 38}


def reader(data: bytes) -> Callable[[int, int], bytes]:
    """Reads of bytes that fail the test when they leave the file, or take more than they may."""

    def read(start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(data)
        assert end - start <= LARGEST_READ_BYTES
        return data[start:end]

    return read


def parse(data: bytes) -> GgufHeader:
    return read_gguf_header(reader(data), len(data))


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def entry(key: bytes, value_type: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", value_type) + value


def tensor(name: bytes = b"t", dimensions: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<{len(dimensions)}Q", *dimensions)
    return string(name) + struct.pack("<I", len(dimensions)) + sizes + struct.pack("<IQ", kind, offset)


def file(*parts: bytes, tensors: int = 0, entries: int = 0, version: int = 3, weights: int = 0) -> bytes:
    header = b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + b"".join(parts)
    padding = -len(header) % 32
    return header + bytes(padding + weights)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Callable[[Any], None]], bytes]:
    """The bytes of a file that the reference writer wrote."""

    def write(fill: Callable[[Any], None]) -> bytes:
        path = tmp_path / "model.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        fill(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()

    return write


def test_tensor_types_are_those_of_the_reference_package() -> None:
    expected = {
        int(kind): (kind.name, *gguf.GGML_QUANT_SIZES[kind])
        for kind in gguf.GGMLQuantizationType
        if int(kind) not in REMOVED_FROM_GGML
    }
    assert {number: tuple(kind) for number, kind in TENSOR_TYPES.items()} == expected


def test_file_types_are_those_of_the_reference_package() -> None:
    expected = {
        int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for kind in gguf.LlamaFileType
        if kind.name != "GUESSED"
    }
    assert expected == FILE_TYPES


def test_reads_what_the_reference_writer_writes(written: Callable[[Callable[[Any], None]], bytes]) -> None:
    def fill(writer: Any) -> None:
        writer.add_block_count(7)
        writer.add_context_length(4096)
        writer.add_bool("a.bool", True)
        writer.add_int8("an.int8", -3)
        writer.add_uint64("a.uint64", 2**63)
        writer.add_float32("a.float", 0.5)
        writer.add_float64("a.double", 0.25)
        writer.add_string("a.string", "ünïcode")
        writer.add_string("a.template", "x" * 5000)
        writer.add_array("numbers", [1, 2, 3])
        writer.add_array("many", list(range(2000)))
        writer.add_token_list([f"token{i}" for i in range(300)])
        writer.add_tensor("one.weight", numpy.zeros((3, 64), dtype=numpy.float32))
        writer.add_tensor("two.weight", numpy.zeros((5,), dtype=numpy.float16))
        rows = numpy.zeros((2, 34), dtype=numpy.uint8)
        writer.add_tensor("three.weight", rows, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    header = parse(written(fill))
    assert header.version == 3
    assert header.metadata == {
        "general.architecture": "llama",
        "llama.block_count": 7,
        "llama.context_length": 4096,
        "a.bool": True,
        "an.int8": -3,
        "a.uint64": 2**63,
        "a.float": 0.5,
        "a.double": 0.25,
        "a.string": "ünïcode",
        "a.template": "",
        "numbers": GgufArray(3, (1, 2, 3)),
        "many": GgufArray(2000, None),
        "tokenizer.ggml.tokens": GgufArray(300, None),
    }
    assert [(one.name, one.dimensions, one.type.name, one.size) for one in header.tensors] == [
        ("one.weight", (64, 3), "F32", 768),
        ("two.weight", (5,), "F16", 10),
        ("three.weight", (32, 2), "Q8_0", 68),
    ]


def test_version_2_is_read() -> None:
    assert parse(file(tensor(), tensors=1, version=2, weights=16)).version == 2


def test_alignment_of_the_file_is_used() -> None:
    alignment = entry(b"general.alignment", 4, struct.pack("<I", 64))
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + alignment + tensor()
    whole = header + bytes(-len(header) % 64 + 16)
    assert parse(whole).tensors[0].elements == 4
    with pytest.raises(GgufError, match="cut off"):
        parse(whole[:-1])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "past the end of the file"),
        (b"PK\x03\x04" + bytes(60), "not a GGUF file: it starts with"),
        (file(version=1), "version 1 is not supported, expected 2 or 3$"),
        (file(version=3 << 24), "big-endian"),
        (file(tensors=2**63), "9,223,372,036,854,775,808 tensors"),
        (file(entries=2**40), "metadata entries"),
        (file(entries=1), "past the end of the file"),
        (file(struct.pack("<Q", 2**62), entries=1), "bytes of a metadata key"),
        (file(entry(b"\xff", 4, b"1234"), entries=1), "not UTF-8"),
        (file(entry(b"k", 13, b"1234"), entries=1), "'k' has a value of the unknown type 13"),
        (file(entry(b"k", 8, struct.pack("<Q", 2**63)), entries=1), "past the end"),
        (file(entry(b"k", 9, struct.pack("<IQ", 8, 2**60)), entries=1), "past the end"),
        (file(entry(b"k", 9, struct.pack("<IQ", 12, 2**60)), entries=1), "past the end"),
        (file(entry(b"k", 9, struct.pack("<IQ", 9, 1)), entries=1), "unknown type 9"),
        (file(*[entry(b"k", 4, b"1234")] * 2, entries=2), "stands twice"),
        (file(tensor(dimensions=()), tensors=1), "0 dimensions, expected 1 to 4"),
        (file(tensor(dimensions=(1,) * 5), tensors=1), "5 dimensions"),
        (file(tensor(dimensions=(4, 0)), tensors=1), "rows of 4"),
        (file(tensor(kind=4), tensors=1), "unknown type 4"),
        (file(tensor(kind=2), tensors=1, weights=64), "multiple of 32"),
        (file(tensor(), tensor(), tensors=2, weights=64), "same name"),
        (file(tensor(offset=2**63), tensors=1), "cut off"),
        (file(tensor(dimensions=(2**62,)), tensors=1), "cut off"),
        (file(tensor(), tensors=1, weights=15), "cut off"),
        (
            file(entry(b"general.alignment", 4, bytes(4)), tensor(), tensors=1, entries=1),
            "general.alignment is 0",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "bytes",
)
def test_damaged_header_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(GgufError, match=message):
        parse(data)


def test_every_shorter_file_is_refused() -> None:
    whole = file(entry(b"k", 8, string(b"value")), tensor(), tensors=1, entries=1, weights=16)
    parse(whole)
    for length in range(len(whole)):
        with pytest.raises(GgufError):
            parse(whole[:length])


def test_short_read_is_refused() -> None:
    with pytest.raises(GgufError, match="bytes came"):
        read_gguf_header(lambda start, end: bytes(end - start - 1), 1000)


def test_endless_header_stops_at_the_limit_without_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quant_llm_tools.lock.gguf.MAX_HEADER_BYTES", 2**20)
    start = file(entry(b"k", 9, struct.pack("<IQ", 8, 2**60)), entries=1)

    def read(first: int, last: int) -> bytes:
        return (start + bytes(last - first))[: last - first] if first == 0 else bytes(last - first)

    tracemalloc.start()
    try:
        with pytest.raises(GgufError, match="limit for headers, at 1,048,576"):
            read_gguf_header(read, 2**50)
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300))
def test_random_bytes_only_raise_the_clear_error(data: bytes) -> None:
    with pytest.raises(GgufError):
        parse(data)


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 5),
    st.lists(st.sampled_from([b"", b"\xff" * 8, bytes(8), struct.pack("<Q", 1)]), max_size=6),
    st.binary(max_size=60),
)
def test_random_bodies_behind_a_true_start_only_raise_the_clear_error(
    tensors: int, entries: int, words: list[bytes], rest: bytes
) -> None:
    data = b"GGUF" + struct.pack("<IQQ", 3, tensors, entries) + b"".join(words) + rest
    try:
        parse(data)
    except GgufError:
        return


@settings(max_examples=300)
@given(st.data())
def test_any_changed_bytes_only_raise_the_clear_error(data: st.DataObject) -> None:
    whole = bytearray(
        file(
            entry(b"general.architecture", 8, string(b"llama")),
            entry(b"numbers", 9, struct.pack("<IQ2I", 4, 2, 1, 2)),
            tensor(b"weight", (32, 2), 8),
            tensors=1,
            entries=2,
            weights=68,
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 69))] = data.draw(st.integers(0, 255))
    try:
        parse(bytes(whole))
    except GgufError:
        return
