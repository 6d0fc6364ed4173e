"""The archive's bytes: the same however they are made, and read by every reader there is."""

from __future__ import annotations

import hashlib
import io
import os
import random
import subprocess
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_llm_repack.plan import ArchivePlan, Part, Plan, PrefixPlan
from quant_llm_repack.render import RenderedPart, payload_slices, render
from quant_llm_repack.request import ArtifactRequest, SourceFile
from tests.programs import require
from tests.unit.repack.sources import MemorySource, artifact_request, some_bytes

EDGES = [0, 1, 511, 512, 513, 65_023, 65_024, 65_535, 65_536, 131_070 - 512, 131_071]
MODEL = {
    "config.json": b'{"model_type": "llama"}',
    "empty": b"",
    "model-00001-of-00002.safetensors": some_bytes(300_000, 1),
    "tokenizer/" + "長" * 60 + "/vocab.json": some_bytes(513, 2),
    "z/model.gguf": some_bytes(700_001, 3),
}

segments = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=80
).filter(lambda text: text not in (".", ".."))
# The first letter keeps files (f) and directories (d) apart.
paths = st.builds(
    lambda directories, name: "/".join([*(f"d{each}" for each in directories), f"f{name}"]),
    st.lists(segments, max_size=3),
    segments,
)
contents_by_path = st.dictionaries(
    paths,
    st.builds(some_bytes, st.one_of(st.sampled_from(EDGES), st.integers(0, 150_000)), st.integers(0, 5)),
    min_size=1,
    max_size=5,
)


def planned(contents: Mapping[str, bytes], blocks_per_part: int) -> ArchivePlan:
    return ArchivePlan(artifact_request(contents).files, blocks_per_part=blocks_per_part)


def rendered(
    contents: Mapping[str, bytes], *, blocks_per_part: int = 3, chunk: int = 50_000
) -> list[RenderedPart]:
    crc = 0
    parts = []
    for part in planned(contents, blocks_per_part).parts():
        parts.append(render(part, MemorySource(contents, chunk=chunk), crc32_before=crc))
        crc = parts[-1].tar_crc32
    return parts


def archive_of(contents: Mapping[str, bytes], *, blocks_per_part: int = 3, chunk: int = 50_000) -> bytes:
    parts = rendered(contents, blocks_per_part=blocks_per_part, chunk=chunk)
    return b"".join(part.body.getvalue() for part in parts)


def objects_of(request: ArtifactRequest, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The objects that a request's artifact has, by key."""
    if request.is_prefix:
        return {f"{request.key}{path}": content for path, content in contents.items()}
    return {request.key: archive_of(contents, blocks_per_part=10_000)}


def tar_of(contents: Mapping[str, bytes]) -> bytes:
    """The same tar by Python's writer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8") as tar:
        for path in sorted(contents):
            member = tarfile.TarInfo(path)
            member.size, member.mtime = len(contents[path]), 1
            tar.addfile(member, io.BytesIO(contents[path]))
    return buffer.getvalue()


def contents_of(tar: tarfile.TarFile) -> dict[str, bytes]:
    found = {}
    for member in tar:
        file = tar.extractfile(member)
        assert file is not None
        found[member.name] = file.read()
    return found


@given(contents_by_path, st.integers(1, 5), st.integers(1000, 200_000))
def test_the_archive_is_one_gzip_member_of_the_tar(
    contents: dict[str, bytes], blocks_per_part: int, chunk: int
) -> None:
    archive = archive_of(contents, blocks_per_part=blocks_per_part, chunk=chunk)
    assert len(archive) == planned(contents, blocks_per_part).total_bytes
    member = zlib.decompressobj(wbits=31)  # checks CRC-32 and length
    assert member.decompress(archive) == tar_of(contents)
    assert member.eof
    assert member.unused_data == b""


@given(contents_by_path, st.integers(1, 5))
def test_part_size_and_chunks_of_the_source_do_not_change_a_byte(
    contents: dict[str, bytes], blocks_per_part: int
) -> None:
    whole = archive_of(contents, blocks_per_part=10_000, chunk=1 << 30)
    assert archive_of(contents, blocks_per_part=blocks_per_part, chunk=777) == whole


@given(contents_by_path, st.integers(1, 3), st.randoms(use_true_random=False))
def test_parts_made_alone_and_in_any_order_are_slices_of_the_whole(
    contents: dict[str, bytes], blocks_per_part: int, order: random.Random
) -> None:
    whole = archive_of(contents)
    parts = list(planned(contents, blocks_per_part).parts())
    shuffled = [part for part in parts if not part.is_last]
    order.shuffle(shuffled)
    for part in shuffled:
        alone = render(part, MemorySource(contents))
        assert alone.length == part.length
        assert alone.body.getvalue() == whole[part.object_start : part.object_start + part.length]
        assert alone.crc32 == zlib.crc32(alone.body.getvalue())
    # The last one needs the CRC-32 of the tar before it, and nothing else of the others.
    before = zlib.crc32(tar_of(contents)[: parts[-1].payload_start])
    last = render(parts[-1], MemorySource(contents), crc32_before=before)
    assert last.body.getvalue() == whole[parts[-1].object_start :]


def test_the_bytes_are_those_of_format_1() -> None:
    """Artifacts in buckets have these: every Python must make them, and a change needs a new FORMAT."""
    digest = hashlib.sha256(archive_of(MODEL)).hexdigest()
    assert digest == "10c5214197a32e7be17026aedb21a5b478343e424c2ac7476c54678f38a74874"


@given(contents_by_path)
@settings(max_examples=30)
def test_python_reads_the_archive_by_seeking_and_by_streaming(contents: dict[str, bytes]) -> None:
    archive = archive_of(contents)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz", encoding="utf-8") as tar:
        assert contents_of(tar) == contents
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|gz", encoding="utf-8") as tar:
        assert contents_of(tar) == contents


@pytest.mark.parametrize(
    ("tool", "command"),
    [
        ("tar", ["tar", "--extract", "--gzip", "--file", "{archive}"]),
        ("bsdtar", ["bsdtar", "-xzf", "{archive}"]),
        ("busybox", ["busybox", "tar", "-xzf", "{archive}"]),
        ("pigz", ["tar", "--use-compress-program=pigz", "-xf", "{archive}"]),
    ],
)
def test_archivers_unpack_every_file_and_make_its_directories(
    tool: str, command: list[str], tmp_path: Path
) -> None:
    require(tool)
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(archive_of(MODEL))
    target = tmp_path / "model"
    target.mkdir()
    done = subprocess.run(
        [word.format(archive=archive) for word in command],
        cwd=target,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    files = [path for path in target.rglob("*") if path.is_file()]
    assert {str(path.relative_to(target)): path.read_bytes() for path in files} == MODEL
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}


def test_gzip_finds_the_archive_whole_and_a_changed_byte(tmp_path: Path) -> None:
    archive = bytearray(archive_of(MODEL))
    file = tmp_path / "model.tar.gz"
    file.write_bytes(archive)
    assert subprocess.run(["gzip", "--test", file], capture_output=True).returncode == 0
    archive[len(archive) // 2] ^= 1
    file.write_bytes(archive)
    assert b"crc error" in subprocess.run(["gzip", "--test", file], capture_output=True).stderr


@pytest.mark.parametrize(
    ("given", "problem"), [(-1, "the source gave 10239 of"), (1, "the source gave more than")]
)
def test_a_source_of_another_length_is_an_error(given: int, problem: str) -> None:
    class OtherLength:
        def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
            yield bytes(stop - start + given)

    part: Part = planned({"a": b"q"}, 1).part(1)
    with pytest.raises(ValueError, match=problem):
        render(part, OtherLength())


@pytest.mark.parametrize(
    ("given", "problem"), [(-1, "the source gave 4 of the part's 5"), (1, "the source gave more than")]
)
def test_a_source_of_another_length_is_an_error_in_a_prefix_too(given: int, problem: str) -> None:
    class OtherLength:
        def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
            yield bytes(stop - start + given)

    plan: Plan = PrefixPlan(artifact_request({"a": b"bytes"}).files)
    with pytest.raises(ValueError, match=problem):
        render(plan.part(1), OtherLength())


@given(contents_by_path, st.integers(1, 3), st.integers(1000, 200_000))
def test_the_parts_of_a_prefix_are_those_of_its_files(
    contents: dict[str, bytes], blocks_per_part: int, chunk: int
) -> None:
    plan = PrefixPlan(artifact_request(contents).files, blocks_per_part=blocks_per_part)
    made = {of.name: b"" for of in plan.objects}
    for part in plan.parts():
        alone = render(part, MemorySource(contents, chunk=chunk))
        body = alone.body.getvalue()
        assert (len(body), alone.crc32, alone.payload_crc32) == (part.length, *[zlib.crc32(body)] * 2)
        name = plan.object_of(part.number).name
        assert part.object_start == len(made[name])
        made[name] += body
        with alone.body.getbuffer() as view:
            assert b"".join(payload_slices(part, view, 0, part.payload_bytes)) == body
    assert made == contents
