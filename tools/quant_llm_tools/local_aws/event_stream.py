"""Amazon's event stream encoding (`application/vnd.amazon.eventstream`), as an endpoint answers in it.

A message is: total length, headers' length, CRC-32 of those two, headers, payload, CRC-32 of all before;
numbers are big-endian and 4 bytes long. A header is: length of the name (1 byte), name, type 7 (a string),
length of the value (2 bytes), value. Source: "Event stream encoding", Amazon Transcribe developer guide;
botocore's `eventstream.py` is the decoder that the tests hold this against.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping

_STRING = 7
_PRELUDE = struct.Struct(">II")
_CHECKSUM = struct.Struct(">I")
# Prelude, its checksum and the message's checksum.
_FRAME_BYTES = _PRELUDE.size + 2 * _CHECKSUM.size

CONTENT_TYPE = "application/vnd.amazon.eventstream"


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message with string headers."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = _PRELUDE.pack(_FRAME_BYTES + len(head) + len(payload), len(head))
    message = prelude + _CHECKSUM.pack(zlib.crc32(prelude)) + head + payload
    return message + _CHECKSUM.pack(zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    name_bytes, value_bytes = name.encode(), value.encode()
    head = struct.pack(">B", len(name_bytes)) + name_bytes
    return head + struct.pack(">BH", _STRING, len(value_bytes)) + value_bytes


def payload_part(payload: bytes) -> bytes:
    """A `PayloadPart` event: bytes of the model's answer."""
    headers = {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
    }
    return encode(headers, payload)


def model_stream_error(code: str, message: str) -> bytes:
    """A `ModelStreamError`: the answer breaks off. `code` is ModelInvocationTimeExceeded or StreamBroken."""
    headers = {
        ":message-type": "exception",
        ":exception-type": "ModelStreamError",
        ":content-type": "application/json",
    }
    return encode(headers, json.dumps({"ErrorCode": code, "Message": message}).encode())
