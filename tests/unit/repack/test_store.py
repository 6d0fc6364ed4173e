"""The S3 edge against a fake with S3's rules."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import pytest
from botocore.exceptions import EndpointConnectionError

from quant_llm_repack.errors import StoreError
from quant_llm_repack.render import RenderedPart
from quant_llm_repack.store import ArtifactStore, Upload, UploadedPart
from tests.unit.repack.fake_s3 import MIN_PART_BYTES, FakeS3, StoredObject

KEY = "models/chat/1/model.tar.gz"
METADATA = {"quantllm-format": "1"}
BODIES = [b"a" * MIN_PART_BYTES, b"b" * 100]
LENGTH = sum(map(len, BODIES))


def part(number: int, body: bytes, *, crc32: int | None = None) -> RenderedPart:
    crc = zlib.crc32(body) if crc32 is None else crc32
    return RenderedPart(number, io.BytesIO(body), len(body), crc, tar_crc32=0)


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


@pytest.fixture
def store(s3: FakeS3) -> ArtifactStore:
    return ArtifactStore(s3.client, "models")


def upload(store: ArtifactStore) -> Upload:
    return store.upload(KEY, length=LENGTH, metadata=METADATA, content_type="application/gzip")


def sent(upload: Upload) -> list[UploadedPart]:
    return [upload.put(part(number, body)) for number, body in enumerate(BODIES, start=1)]


def test_an_upload_becomes_the_object(s3: FakeS3, store: ArtifactStore) -> None:
    with upload(store) as started:
        started.complete(sent(started))
    stored = s3.objects[KEY]
    assert stored == StoredObject(b"".join(BODIES), "application/gzip", METADATA)
    assert s3.uploads == {}
    assert "AbortMultipartUpload" not in s3.calls
    assert store.holds(KEY, length=LENGTH, metadata=METADATA)


def test_an_upload_that_is_left_is_aborted(s3: FakeS3, store: ArtifactStore) -> None:
    def interrupt() -> None:
        with upload(store) as started:
            sent(started)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert (s3.objects, s3.uploads) == ({}, {})


def test_an_abort_that_fails_hides_no_error(
    s3: FakeS3, store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    s3.fail_next("AbortMultipartUpload", "SlowDown")
    with pytest.raises(ValueError, match="the cause"), upload(store):
        raise ValueError("the cause")
    assert "repack.abort_failed" in capsys.readouterr().out


def test_s3_finds_a_part_that_changed_on_the_way(s3: FakeS3, store: ArtifactStore) -> None:
    with pytest.raises(StoreError, match="S3 answered BadDigest to UploadPart"), upload(store) as started:
        started.put(part(1, b"a", crc32=7))
    assert s3.uploads == {}


def test_s3_finds_a_wrong_length_of_the_object(s3: FakeS3, store: ArtifactStore) -> None:
    with (
        pytest.raises(StoreError, match="S3 answered InvalidRequest to CompleteMultipartUpload"),
        store.upload(KEY, length=LENGTH + 1, metadata=METADATA, content_type="") as started,
    ):
        started.complete(sent(started))
    assert (s3.objects, s3.uploads) == ({}, {})


def test_s3_finds_a_part_that_is_another(s3: FakeS3, store: ArtifactStore) -> None:
    def complete(upload: Upload) -> None:
        first, last = sent(upload)
        upload.complete([first, UploadedPart(last.number, last.etag, 7, last.length)])

    with pytest.raises(StoreError, match="InvalidPart"), upload(store) as started:
        complete(started)
    assert (s3.objects, s3.uploads) == ({}, {})


def test_parts_in_another_order_have_another_crc(s3: FakeS3, store: ArtifactStore) -> None:
    with pytest.raises(StoreError, match="InvalidPart"), upload(store) as started:
        started.complete(sent(started)[::-1])


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchUpload"])
def test_an_equal_object_of_another_deploy_is_as_good(s3: FakeS3, store: ArtifactStore, code: str) -> None:
    with upload(store) as started:
        parts = sent(started)
        s3.objects[KEY] = StoredObject(b"x" * LENGTH, "application/gzip", METADATA)
        s3.fail_next("CompleteMultipartUpload", code)
        started.complete(parts)
    assert s3.uploads == {}


def test_the_key_is_never_overwritten(s3: FakeS3, store: ArtifactStore) -> None:
    s3.objects[KEY] = StoredObject(b"other", "application/gzip", {})
    with pytest.raises(StoreError, match=r"holds something else.*: got 5 bytes"), upload(store) as started:
        started.complete(sent(started))
    assert s3.objects[KEY].body == b"other"
    assert s3.uploads == {}


def test_an_upload_of_another_deploy_under_way_is_an_error(s3: FakeS3, store: ArtifactStore) -> None:
    s3.fail_next("CompleteMultipartUpload", "ConditionalRequestConflict")
    with pytest.raises(StoreError, match="is being written by another deploy"), upload(store) as started:
        started.complete(sent(started))
    assert (s3.objects, s3.uploads) == ({}, {})


def test_absent_and_other_objects_are_told_apart(s3: FakeS3, store: ArtifactStore) -> None:
    assert not store.holds(KEY, length=1, metadata=METADATA)
    s3.objects[KEY] = StoredObject(b"1", "application/gzip", {**METADATA, "added-by": "s3"})
    assert store.holds(KEY, length=1, metadata=METADATA)
    for length, metadata in ((2, METADATA), (1, {"quantllm-format": "2"}), (1, {"another": "1"})):
        with pytest.raises(StoreError, match="holds something else"):
            store.holds(KEY, length=length, metadata=metadata)


def test_a_small_object_is_written_once(s3: FakeS3, store: ArtifactStore) -> None:
    store.put_if_absent(KEY, b"first", content_type="application/json")
    store.put_if_absent(KEY, b"second", content_type="application/json")
    assert s3.objects[KEY].body == b"first"
    assert store.read_end(KEY, 3) == b"rst"


def put(store: ArtifactStore) -> None:
    store.put_if_absent(KEY, b"", content_type="application/json")


def look(store: ArtifactStore) -> None:
    store.holds(KEY, length=1, metadata={})


@pytest.mark.parametrize(
    ("operation", "verb", "act"),
    [("HeadObject", "read", look), ("PutObject", "write", put), ("CreateMultipartUpload", "write", upload)],
)
def test_a_refusal_of_s3_is_one_sentence(
    s3: FakeS3, store: ArtifactStore, operation: str, verb: str, act: Callable[[ArtifactStore], object]
) -> None:
    s3.fail_next(operation, "AccessDenied")
    with pytest.raises(StoreError) as caught:
        act(store)
    assert str(caught.value) == (
        f"can't {verb} s3://models/{KEY}: S3 answered AccessDenied to {operation}: by the fake"
    )


def test_an_s3_out_of_reach_is_one_sentence(s3: FakeS3, store: ArtifactStore) -> None:
    def unreachable(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://s3.example")

    s3.head_object = unreachable  # type: ignore[method-assign, assignment]  # the fake has no other way to fail so
    with pytest.raises(StoreError, match=f"can't read s3://models/{KEY}: Could not connect"):
        store.holds(KEY, length=1, metadata={})
