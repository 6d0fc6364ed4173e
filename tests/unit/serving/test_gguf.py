"""The check of a GGUF's header, against files and tables of the format's reference implementation."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from gguf.constants import GGML_QUANT_SIZES

from quant_llm_serving.errors import ModelError
from quant_llm_serving.gguf import TENSOR_TYPES, check_gguf
from tests.container.gguf_files import write_gguf


def test_the_table_of_types_is_the_references() -> None:
    assert {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()} == TENSOR_TYPES


@pytest.mark.parametrize("alignment", [None, 8, 256])
@pytest.mark.parametrize("values", [1, 63, 64])
def test_a_whole_file_passes_and_any_shorter_one_does_not(
    tmp_path: Path, alignment: int | None, values: int
) -> None:
    path = write_gguf(tmp_path / "m.gguf", values=values, alignment=alignment)
    check_gguf(path)
    content = path.read_bytes()
    # The writer pads after the last tensor too; a file without that padding is whole.
    end = content.rindex(struct.pack("<f", 1.0)) + 4
    path.write_bytes(content[:end])
    check_gguf(path)
    for length in [*range(0, 60, 3), *range(60, end, 29), end - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ModelError):
            check_gguf(path)


def test_the_message_of_a_truncated_file_has_both_sizes(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    message = f"m.gguf is truncated: it has {len(content) - 100} bytes, its tensors need {len(content)}$"
    with pytest.raises(ModelError, match=message):
        check_gguf(path)
    path.write_bytes(content[:50])
    with pytest.raises(ModelError, match=r"it ends after 50 bytes, within its header$"):
        check_gguf(path)


def test_a_file_with_room_for_more_than_was_downloaded_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    content = path.read_bytes()
    path.write_bytes(content[:60] + bytes(len(content)))
    with pytest.raises(ModelError, match="is damaged"):
        check_gguf(path)


@pytest.mark.parametrize(("version", "told"), [(1, "1"), (4, "4"), (3 << 24, "50331648")])
def test_a_version_that_llama_cpp_does_not_read_is_refused(tmp_path: Path, version: int, told: str) -> None:
    path = write_gguf(tmp_path / "m.gguf")
    path.write_bytes(b"GGUF" + struct.pack("<I", version) + path.read_bytes()[8:])
    with pytest.raises(ModelError, match=f"has GGUF version {told}, expected 2 or 3$"):
        check_gguf(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.gguf can't be read: No such file or directory$"):
        check_gguf(tmp_path / "m.gguf")


def test_smollm2_passes(smollm2: Path) -> None:
    check_gguf(smollm2)
