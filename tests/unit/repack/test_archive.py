"""Tar headers, against GNU tar and Python's reader; the framing's arithmetic."""

from __future__ import annotations

import os
import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest

from quant_llm_repack import archive

GIB = 1 << 30


@pytest.mark.parametrize("size", [0, 1, 511, 8 * GIB - 1, 8 * GIB, 42_520_395_584, 1 << 60])
def test_a_header_gives_its_size_and_path_back(size: int) -> None:
    header = archive.tar_header("models/q4.gguf", size)
    member = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    assert len(header) == 512
    assert (member.name, member.size, member.mode, member.uid, member.gid) == (
        "models/q4.gguf",
        size,
        0o644,
        0,
        0,
    )


@pytest.mark.parametrize(("letters", "length"), [(100, 512), (101, 1536), (511, 1536), (512, 2048)])
def test_a_path_over_100_bytes_takes_blocks_of_its_own(letters: int, length: int) -> None:
    path = "/".join(["x" * 50] * 12)[: letters - 1] + "y"
    assert len(archive.tar_header(path, 1)) == length


@pytest.mark.parametrize("path", ["q.gguf", "模型/" + "长" * 80 + "/权重.gguf"])
def test_gnu_tar_lists_a_file_over_8_gib(path: str, tmp_path: Path) -> None:
    size = 9 * GIB + 1
    sparse = tmp_path / "sparse.tar"
    with sparse.open("wb") as file:
        file.write(archive.tar_header(path, size))
        file.truncate(file.tell() + size + archive.file_padding(size) + 10_240)
    listing = subprocess.run(
        [
            "tar",
            "--list",
            "--verbose",
            "--quoting-style=literal",
            "--numeric-owner",
            "--full-time",
            "-f",
            sparse,
        ],
        env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert listing.stdout.split() == ["-rw-r--r--", "0/0", str(size), "1970-01-01", "00:00:01", path]
    assert listing.stderr == ""


@pytest.mark.parametrize("length", [0, 1, 9_215, 9_216, 9_217, 10_240, 20_000 * 512])
def test_the_end_of_a_tar_is_that_of_pythons_writer(length: int) -> None:
    content = length // 512 * 512
    end = archive.end_of_tar(content)
    assert end >= 1024
    assert (content + end) % 10_240 == 0
    assert end < 1024 + 10_240


@pytest.mark.parametrize("count", [0, 1, 65_535, 65_536, 131_070, 131_071, 200_000])
def test_framed_bytes_counts_a_header_for_every_block(count: int) -> None:
    blocks = range(0, count, archive.BLOCK_BYTES)
    assert archive.framed_bytes(count) == count + 5 * len(blocks)


@pytest.mark.parametrize("count", [1, 300, 65_535])
def test_one_block_between_header_and_trailer_is_a_gzip_member(count: int) -> None:
    data = b"q" * count
    member = (
        archive.GZIP_HEADER
        + archive.block_header(count)
        + data
        + archive.gzip_trailer(zlib.crc32(data), count)
    )
    assert zlib.decompress(member, wbits=31) == data


def test_the_trailer_holds_the_length_modulo_4_gib() -> None:
    trailer = archive.gzip_trailer(7, 4 * GIB + 3)
    assert len(trailer) == archive.TRAILER_BYTES
    assert trailer[-4:] == b"\x03\x00\x00\x00"
