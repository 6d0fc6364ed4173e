"""The bytes of the archive: a GNU tar in one gzip member of stored (uncompressed) deflate blocks.

Stored blocks are byte-aligned and of a known length, so any range of the archive can be made from the same
range of the tar alone. One member and the GNU format are what every reader takes: several members lose files
in some of them, and a PAX header hides sizes over 8 GiB from busybox. RFC 1951 section 3.2.4, RFC 1952
section 2.3.
"""

from __future__ import annotations

import struct
import tarfile

BLOCK_BYTES = 65535  # the most that a stored block holds
BLOCK_HEADER_BYTES = 5
GZIP_HEADER = bytes.fromhex("1f8b 08 00 00000000 00 ff")  # deflate, no name, no time, no operating system
TRAILER_BYTES = 13

# Not 0: GNU tar warns of an "implausibly old time stamp" at the epoch itself.
_MODIFIED = 1
_MODE = 0o644


def tar_header(path: str, size: int) -> bytes:
    """The header of a regular file: 512 bytes, preceded by 1,024 or more for a path over 100 bytes in UTF-8.

    Everything but path and size is fixed: mode 0644, owner 0, one time stamp. Sizes of 8 GiB and more are in
    base 256.
    """
    member = tarfile.TarInfo(path)
    member.size = size
    member.mode = _MODE
    member.mtime = _MODIFIED
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def file_padding(size: int) -> int:
    """Zero bytes after a file's data, up to the next 512."""
    return -size % tarfile.BLOCKSIZE


def end_of_tar(length: int) -> int:
    """Zero bytes that end a tar of `length` bytes so far: two empty blocks, up to the next 10,240."""
    end = 2 * tarfile.BLOCKSIZE
    return end + -(length + end) % tarfile.RECORDSIZE


def framed_bytes(payload: int) -> int:
    """Bytes that `payload` bytes take as stored blocks."""
    return payload + BLOCK_HEADER_BYTES * -(-payload // BLOCK_BYTES)


def block_header(length: int) -> bytes:
    """The header of a stored block of `length` bytes that is not the stream's last."""
    return struct.pack("<BHH", 0, length, length ^ 0xFFFF)


def gzip_trailer(crc32: int, length: int) -> bytes:
    """The empty last block, and the CRC-32 and length (modulo 2^32) of all that the member holds."""
    return b"\x01\x00\x00\xff\xff" + struct.pack("<II", crc32, length & 0xFFFFFFFF)
