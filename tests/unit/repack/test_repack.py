"""From a source to S3: what is published, what is not, and what is never left behind."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from quant_llm_repack.errors import MismatchError, OutOfTimeError, StoreError
from quant_llm_repack.plan import ArchivePlan, Part
from quant_llm_repack.render import RenderedPart, Source, render
from quant_llm_repack.repack import Artifact, Progress, repack
from quant_llm_repack.request import SourceFile
from quant_llm_repack.store import ArtifactStore
from quant_llm_repack.verify import VerifyingSource
from tests.unit.repack.fake_s3 import FakeS3, StoredObject
from tests.unit.repack.sources import ARCHIVE_KEY, PREFIX_KEY, MemorySource, artifact_request, some_bytes

MB = 1_000_000
# Three parts, the last one short, with a file over each edge between them.
CONTENTS = {
    "a.gguf": some_bytes(50 * MB, 1),
    "b.gguf": some_bytes(20 * MB, 2),
    "c/config.json": b"{}",
    "d-empty": b"",
}
SMALL = {"config.json": b"{}", "model.gguf": some_bytes(200_000)}


class Run:
    """One repack with fakes around it."""

    def __init__(
        self, contents: dict[str, bytes], s3: FakeS3 | None = None, *, key: str = ARCHIVE_KEY
    ) -> None:
        self.request = artifact_request(contents, key=key)
        self.source = MemorySource(contents, chunk=1 << 20)
        self.s3 = s3 or FakeS3()
        self.progress: list[Progress] = []
        self.sources_opened = 0

    def open_source(self) -> MemorySource:
        self.sources_opened += 1
        return self.source

    def __call__(self) -> Artifact:
        return repack(
            self.request,
            source=self.open_source,
            store=ArtifactStore(self.s3.client, self.request.bucket),
            report=self.progress.append,
            clock=iter(range(1000)).__next__,
        )

    @property
    def archive(self) -> StoredObject:
        return self.s3.objects[self.request.key]

    @property
    def manifest(self) -> Any:
        return json.loads(self.s3.objects[self.request.manifest_key].body)

    def assert_nothing_left(self) -> None:
        assert (self.s3.objects, self.s3.uploads) == ({}, {})


@pytest.fixture(scope="module")
def done() -> Run:
    run = Run(CONTENTS)
    run()
    return run


def test_the_archive_holds_every_file(done: Run) -> None:
    with tarfile.open(fileobj=io.BytesIO(done.archive.body), mode="r:gz") as tar:
        names = [member.name for member in tar]
        assert names == sorted(CONTENTS)
        for name in names:
            member = tar.extractfile(name)
            assert member is not None
            assert member.read() == CONTENTS[name]
    assert done.source.checked == sorted(CONTENTS)
    assert done.s3.calls.count("UploadPart") == 3
    assert done.s3.uploads == {}


def test_the_object_says_what_it_is(done: Run) -> None:
    assert done.archive.content_type == "application/gzip"
    assert done.archive.metadata == {
        "quantllm-format": "1",
        "quantllm-files-sha256": done.request.digest,
    }


def test_the_manifest_finds_every_file_in_the_archive(done: Run) -> None:
    tar = gzip.decompress(done.archive.body)
    manifest = done.manifest
    assert manifest["archive"] == {
        "bytes": len(done.archive.body),
        "tar_bytes": len(tar),
        "tar_crc32": f"{zlib.crc32(tar):08x}",
    }
    assert manifest["source"] == {"repository": "acme/model-GGUF", "commit": done.request.commit}
    assert [file["path"] for file in manifest["files"]] == sorted(CONTENTS)
    for file in manifest["files"]:
        assert tar[file["offset"] :][: file["size"]] == CONTENTS[file["path"]]


def test_progress_ends_at_the_archives_length(done: Run) -> None:
    length = len(done.archive.body)
    assert [progress.part for progress in done.progress] == [1, 2, 3]
    assert [progress.bytes_done for progress in done.progress] == [34_998_370, 69_996_730, length]
    assert {(progress.bytes_total, progress.parts) for progress in done.progress} == {(length, 3)}
    assert done.progress[0].mb_per_second == 35.0  # in the first second of the fake clock


def test_a_second_run_reads_nothing(done: Run) -> None:
    again = Run(CONTENTS, done.s3)
    before = len(done.s3.calls)
    assert again() == Artifact(artifact_bytes=len(done.archive.body), existed=True)
    assert again.sources_opened == 0
    assert "CreateMultipartUpload" not in done.s3.calls[before:]


def test_a_manifest_that_was_lost_is_written_again(done: Run) -> None:
    manifest = done.s3.objects.pop(done.request.manifest_key)
    Run(CONTENTS, done.s3)()
    assert done.s3.objects[done.request.manifest_key] == manifest


def test_another_archive_under_the_key_is_an_error() -> None:
    run = Run(SMALL)
    run.s3.objects[run.request.key] = StoredObject(b"other", "application/gzip", {})
    with pytest.raises(StoreError, match="holds something else"):
        run()
    assert run.sources_opened == 0


@pytest.mark.parametrize("name", ["config.json", "model.gguf"])
def test_a_wrong_byte_is_named_and_never_published(name: str) -> None:
    run = Run(SMALL)
    content = bytearray(SMALL[name])
    content[-1] ^= 1
    run.source.contents[name] = bytes(content)
    with pytest.raises(MismatchError) as caught:
        run()
    expected = artifact_request(SMALL), artifact_request({name: bytes(content)})
    locked = next(file.sha256 for file in expected[0].files if file.path == name)
    assert str(caught.value) == (
        f"{name}: the hub's file has sha256 {expected[1].files[0].sha256}, expected {locked} of the lock"
    )
    run.assert_nothing_left()


def test_a_wrong_byte_in_the_last_file_of_many_parts_aborts_the_upload() -> None:
    run = Run(CONTENTS)
    run.source.contents["c/config.json"] = b"[]"
    with pytest.raises(MismatchError, match=r"c/config\.json"):
        run()
    assert run.s3.calls.count("UploadPart") == 2
    run.assert_nothing_left()


def test_a_source_that_refuses_leaves_no_upload() -> None:
    run = Run(SMALL)

    def check(files: object) -> None:
        raise MismatchError("size")

    run.source.check = check  # type: ignore[method-assign]  # a source that refuses
    with pytest.raises(MismatchError):
        run()
    assert run.s3.calls == ["HeadObject"]


def test_a_time_that_is_over_says_how_far_it_came() -> None:
    run = Run(CONTENTS)
    read = run.source.read

    def read_a_while(file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        if file.path == "b.gguf":
            raise OutOfTimeError("the function's time is over")
        return read(file, start, stop)

    run.source.read = read_a_while  # type: ignore[method-assign]  # a source with a deadline
    with pytest.raises(OutOfTimeError) as caught:
        run()
    assert str(caught.value) == (
        "the model is too large for one run of the repack function: 35 of 70 MB were copied in 2 s "
        "(the function's time is over)"
    )
    run.assert_nothing_left()


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_a_failing_s3_leaves_nothing(operation: str) -> None:
    run = Run(SMALL)
    run.s3.fail_next(operation, "InternalError")
    with pytest.raises(StoreError, match=f"InternalError to {operation}"):
        run()
    run.assert_nothing_left()


def test_verification_can_not_be_left_out() -> None:
    request = artifact_request(SMALL)
    model = request.files[1]
    verified = VerifyingSource(MemorySource(SMALL))
    with pytest.raises(MismatchError, match=r"config.json: its sha256 was not verified"):
        verified.require_all(request.files)
    with pytest.raises(ValueError, match="the next range must begin at"):
        list(verified.read(model, 5, 10))
    list(verified.read(model, 0, 5))
    with pytest.raises(ValueError, match="the next range must begin at"):
        list(verified.read(model, 10, model.size))


def test_bytes_that_went_past_the_verification_are_never_published(monkeypatch: pytest.MonkeyPatch) -> None:
    def render_unverified(part: Part, source: Source, **options: Any) -> RenderedPart:
        return render(part, MemorySource(SMALL), **options)

    monkeypatch.setattr("quant_llm_repack.repack.render", render_unverified)
    run = Run(SMALL)
    with pytest.raises(MismatchError, match=r"config.json: its sha256 was not verified"):
        run()
    run.assert_nothing_left()


def test_the_manifest_is_the_same_for_the_same_request() -> None:
    first, second = Run(SMALL), Run(SMALL)
    first()
    second()
    assert first.s3.objects == second.s3.objects
    assert len(first.archive.body) == ArchivePlan(first.request.files).total_bytes


def test_a_prefix_holds_every_file_and_a_second_run_reads_nothing() -> None:
    run = Run(CONTENTS, key=PREFIX_KEY)
    total = sum(map(len, CONTENTS.values()))
    assert run() == Artifact(artifact_bytes=total, existed=False)
    assert (run.progress[-1].bytes_done, run.progress[-1].bytes_total) == (total, total)
    files = {f"{PREFIX_KEY}{path}": content for path, content in CONTENTS.items()}
    assert {key: stored.body for key, stored in run.s3.objects.items() if key in files} == files
    assert set(run.s3.objects) == {*files, run.request.manifest_key}
    assert run.s3.uploads == {}
    again = Run(CONTENTS, run.s3, key=PREFIX_KEY)
    assert again() == Artifact(artifact_bytes=total, existed=True)
    assert again.sources_opened == 0


@pytest.mark.parametrize("name", ["config.json", "model.gguf"])
def test_a_wrong_byte_leaves_no_file_of_a_prefix(name: str) -> None:
    run = Run(SMALL, key=PREFIX_KEY)
    run.source.contents[name] = b"x" + SMALL[name][1:]
    with pytest.raises(MismatchError, match=f"{name}: the hub's file has sha256"):
        run()
    run.assert_nothing_left()


def test_a_prefix_that_is_cut_off_is_finished_by_the_next_run() -> None:
    run = Run(SMALL, key=PREFIX_KEY)

    def fail_the_second(operation: str) -> None:
        if operation == "CompleteMultipartUpload" and run.s3.objects:
            run.s3.fail_next(operation, "InternalError")

    run.s3.on_call = fail_the_second
    with pytest.raises(StoreError, match="InternalError to CompleteMultipartUpload"):
        run()
    assert set(run.s3.objects) == {f"{PREFIX_KEY}config.json"}
    assert run.s3.uploads == {}
    again = Run(SMALL, FakeS3(), key=PREFIX_KEY)
    again.s3.objects = run.s3.objects
    assert again() == Artifact(artifact_bytes=sum(map(len, SMALL.values())), existed=False)
    assert again.progress[-1].bytes_total == len(SMALL["model.gguf"])
