"""The encoder against botocore's decoder."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer

from quant_llm_tools.local_aws import event_stream


def decode(data: bytes) -> list[Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


@pytest.mark.parametrize("payload", [b"", b"data: {}\n\n", bytes(range(256)) * 400])
def test_payload_part_is_what_botocore_reads(payload: bytes) -> None:
    (event,) = decode(event_stream.payload_part(payload))
    assert event.payload == payload
    assert event.headers == {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
    }
    assert event.to_response_dict()["status_code"] == 200


def test_model_stream_error_is_an_exception_to_botocore() -> None:
    (event,) = decode(event_stream.model_stream_error("StreamBroken", "the container is gone: “x”"))
    assert event.headers[":exception-type"] == "ModelStreamError"
    assert event.to_response_dict()["status_code"] == 400


def test_messages_follow_one_another() -> None:
    data = b"".join(event_stream.payload_part(b"%d" % number) for number in range(5))
    assert [event.payload for event in decode(data)] == [b"0", b"1", b"2", b"3", b"4"]


def test_changed_byte_breaks_the_checksum() -> None:
    data = bytearray(event_stream.payload_part(b"weights"))
    data[-6] ^= 1
    with pytest.raises(ChecksumMismatch):
        decode(bytes(data))
