"""An artifact of many objects: nothing is visible before all is verified, and it ends in one set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.repack_driver import ExecutionFailed
from quant_llm_repack.errors import MismatchError, StoreError, StoreUnavailableError, UploadGoneError
from quant_llm_repack.records import WORK_PREFIX
from tests.unit.repack.fake_s3 import FakeS3, StoredObject
from tests.unit.repack.sources import PREFIX_KEY, artifact_request
from tests.unit.repack.test_render import contents_by_path
from tests.unit.repack.test_tasks import CONTENTS, World

REQUEST = artifact_request(CONTENTS, key=PREFIX_KEY)
PUBLISHING = ("CompleteMultipartUpload", "PutObject")


def prefix_world(
    *,
    contents: dict[str, bytes] = CONTENTS,
    workers: int = 3,
    blocks_per_part: int = 1,
    s3: FakeS3 | None = None,
) -> World:
    return World(
        contents=dict(contents),
        request=artifact_request(contents, key=PREFIX_KEY),
        workers=workers,
        blocks_per_part=blocks_per_part,
        s3=s3 or FakeS3(min_part_bytes=0, page=3),
    )


def visible(world: World) -> set[str]:
    return {key for key in world.s3.objects if not key.startswith(WORK_PREFIX)}


def copied(world: World) -> list[str | None]:
    """Do all but the last task; returns the uploads' ids. For one worker: nobody waits for another's hash."""
    plan = world.task("plan")
    for index, item in enumerate(plan["Items"]):
        world.task("copy", UploadIds=plan["UploadIds"], Item=item, Index=index)
    return list(plan["UploadIds"])


@pytest.mark.parametrize("workers", [1, 2, 7, 100])
@pytest.mark.parametrize("blocks_per_part", [1, 3, 100])
def test_any_number_of_workers_makes_the_same_objects(workers: int, blocks_per_part: int) -> None:
    world = prefix_world(workers=workers, blocks_per_part=blocks_per_part)
    result = world.run()
    world.assert_published()
    assert result == {"ModelDataUrl": REQUEST.url, "Bytes": str(sum(map(len, CONTENTS.values())))}
    assert REQUEST.url == "s3://models/models/chat/0123/files/"
    assert [answer["Status"] for answer in world.web.answers] == ["SUCCESS"]


@given(contents_by_path, st.integers(1, 30), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_any_files_arrive_for_any_parts_and_workers(
    contents: dict[str, bytes], workers: int, blocks_per_part: int
) -> None:
    world = prefix_world(contents=contents, workers=workers, blocks_per_part=blocks_per_part)
    world.run()
    world.assert_published()


def test_each_object_says_whose_bytes_it_has() -> None:
    world = prefix_world()
    world.run()
    for file in REQUEST.files:
        stored = world.s3.objects[f"{PREFIX_KEY}{file.path}"]
        assert stored.content_type == "application/octet-stream"
        assert stored.metadata == {"quantllm-sha256": file.sha256}


def test_the_manifest_is_beside_the_prefix_and_names_every_file() -> None:
    world = prefix_world()
    world.run()
    manifest = json.loads(world.s3.objects["models/chat/0123/files.manifest.json"].body)
    assert manifest["prefix"] == {"bytes": sum(map(len, CONTENTS.values())), "objects": len(CONTENTS)}
    assert [(file["path"], file["size"], file["sha256"]) for file in manifest["files"]] == [
        (file.path, file.size, file.sha256) for file in REQUEST.files
    ]


def test_the_manifest_comes_when_all_else_is_there() -> None:
    world = prefix_world(workers=1)
    upload_ids = copied(world)
    assert not visible(world)
    seen: list[set[str]] = []
    world.s3.on_call = lambda operation: seen.append(visible(world)) if operation == "PutObject" else None
    world.task("finish", UploadIds=upload_ids)
    assert seen[-1] == {f"{PREFIX_KEY}{path}" for path in CONTENTS}


@pytest.mark.parametrize("name", ["a-config.json", "b-shard.safetensors", "e-small"])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_wrong_byte_is_named_and_nothing_is_ever_visible(name: str, workers: int) -> None:
    world = prefix_world(workers=workers)
    content = bytearray(CONTENTS[name])
    content[len(content) // 2] ^= 1
    world.web.contents[name] = bytes(content)
    expected = world.web.sha256[name] = hashlib.sha256(CONTENTS[name]).hexdigest()
    seen: list[set[str]] = []
    world.s3.on_call = lambda operation: seen.append(visible(world))
    with pytest.raises(ExecutionFailed) as caught:
        world.run()
    assert str(caught.value) == (
        f"{name}: the hub's file has sha256 {hashlib.sha256(content).hexdigest()}, expected "
        f"{expected} of the lock"
    )
    assert not any(seen)
    world.assert_nothing_left()


def test_one_file_that_the_records_do_not_prove_keeps_all_of_them_invisible() -> None:
    world = prefix_world(workers=1)
    upload_ids = copied(world)
    for key, stored in world.s3.objects.items():
        if "/items/" in key:
            records = json.loads(stored.body)
            for record in records:
                record["sha256"].pop("e-small", None)
            stored.body = json.dumps(records).encode()
    with pytest.raises(MismatchError, match="e-small: its sha256 was not verified"):
        world.task("finish", UploadIds=upload_ids)
    assert not visible(world)


def at_call(world: World, operation: str, count: int, act: Callable[[], None]) -> None:
    """Do something before the `count`th call of an operation that writes no record."""
    calls = 0

    def before(called: str) -> None:
        nonlocal calls
        calls += called == operation
        if called == operation and calls == count:
            act()

    world.s3.on_call = before


def test_a_publication_that_is_cut_off_is_finished_by_the_next_deploy() -> None:
    world = prefix_world(workers=1)
    upload_ids = copied(world)
    sent = world.s3.calls.count("UploadPart")
    at_call(
        world,
        "CompleteMultipartUpload",
        2,
        lambda: world.s3.failures.update({"CompleteMultipartUpload": ["InternalError"] * 9}),
    )
    with pytest.raises(StoreUnavailableError):
        world.task("finish", UploadIds=upload_ids)
    assert 0 < len(visible(world)) < len(CONTENTS)
    assert REQUEST.manifest_key not in visible(world)
    world.s3.failures.clear()
    world.s3.on_call = lambda operation: None
    world.run()
    world.assert_published()
    assert world.s3.calls.count("UploadPart") == sent  # nothing is copied twice


def test_a_failure_after_a_cut_off_publication_ends_the_uploads_and_the_next_deploy_makes_them() -> None:
    world = prefix_world(workers=1)
    upload_ids = copied(world)
    del world.s3.uploads[str(upload_ids[-1])]
    published = f"{PREFIX_KEY}b-shard.safetensors"
    world.s3.objects[published] = StoredObject(
        CONTENTS["b-shard.safetensors"],
        "application/octet-stream",
        {"quantllm-sha256": hashlib.sha256(CONTENTS["b-shard.safetensors"]).hexdigest()},
    )
    world.task("fail", Error={"Error": "HubError", "Cause": json.dumps({"errorMessage": "gated"})})
    assert (visible(world), world.s3.uploads) == ({published}, {})
    sent = world.s3.calls.count("UploadPart")
    world.run()
    world.assert_published()
    others = sum(-(-len(content) // 65_535) for name, content in CONTENTS.items() if name[0] != "b")
    assert world.s3.calls.count("UploadPart") - sent == others


@pytest.mark.parametrize("count", [1, 2, 3])
def test_two_deploys_that_publish_at_the_same_time_end_in_one_set(count: int) -> None:
    world = prefix_world(workers=1)
    upload_ids = copied(world)

    def finish_beside() -> None:
        world.s3.on_call = lambda operation: None
        world.task("finish", UploadIds=upload_ids)

    at_call(world, "CompleteMultipartUpload", count, finish_beside)
    world.task("finish", UploadIds=upload_ids)
    world.assert_published()


@pytest.mark.parametrize("count", range(1, 6))
def test_a_finisher_that_another_overtakes_while_it_looks_finds_the_whole(count: int) -> None:
    world = prefix_world(workers=1)
    upload_ids = copied(world)

    def finish_beside() -> None:
        world.s3.on_call = lambda operation: None
        world.task("finish", UploadIds=upload_ids)

    at_call(world, "ListParts", count, finish_beside)
    try:
        world.task("finish", UploadIds=upload_ids)
    except UploadGoneError:  # and begins again
        world.run()
    world.assert_published()


def test_a_worker_that_ends_early_because_another_deploy_publishes_begins_again() -> None:
    world = prefix_world(workers=1)
    plan = world.task("plan")
    (published,) = (of for of in REQUEST.files if of.path == "b-shard.safetensors")
    uploads = {upload.key: upload_id for upload_id, upload in world.s3.uploads.items()}
    del world.s3.uploads[uploads[f"{PREFIX_KEY}{published.path}"]]
    world.s3.objects[f"{PREFIX_KEY}{published.path}"] = StoredObject(
        CONTENTS[published.path], "application/octet-stream", {"quantllm-sha256": published.sha256}
    )
    everything = {"Parts": sorted(number for item in plan["Items"] for number in item["Parts"])}
    assert world.task("copy", UploadIds=plan["UploadIds"], Item=everything, Index=0) == {"Done": True}
    with pytest.raises(UploadGoneError, match="was not copied"):
        world.task("finish", UploadIds=plan["UploadIds"])
    world.run()
    world.assert_published()


def test_an_upload_that_ends_while_others_are_begun_is_no_bug() -> None:
    world = prefix_world(workers=1)
    plan = world.task("plan")
    first, second = (str(id_) for id_ in plan["UploadIds"][:2])
    del world.s3.uploads[second]

    def end_the_first(operation: str) -> None:
        if operation == "CreateMultipartUpload":
            world.s3.uploads.pop(first, None)

    world.s3.on_call = end_the_first
    again = world.task("plan")
    assert again["UploadIds"][0] == first
    assert again["UploadIds"][1] != second
    world.s3.on_call = lambda operation: None
    world.run()
    world.assert_published()


@pytest.mark.parametrize("workers", [1, 3])
def test_two_deploys_that_begin_at_the_same_time_share_their_uploads(workers: int) -> None:
    world = prefix_world(workers=workers)
    beside: list[dict[str, object]] = []

    def plan_beside() -> None:
        world.s3.on_call = lambda operation: None
        beside.append(world.task("plan"))

    at_call(world, "CreateMultipartUpload", 2, plan_beside)
    plan = world.task("plan")
    assert plan == beside[0]
    assert sorted(world.s3.uploads) == sorted(id_ for id_ in plan["UploadIds"] if id_)
    world.run()
    world.assert_published()


def test_an_object_that_is_not_of_the_lock_is_refused_before_the_hub_is_asked() -> None:
    world = prefix_world()
    world.s3.objects[f"{PREFIX_KEY}z-other.bin"] = StoredObject(b"", "")
    with pytest.raises(StoreError, match=r"files/z-other\.bin is in the way: it is no file of the lock"):
        world.task("plan")
    assert world.web.asked == []


def test_other_bytes_under_a_files_key_are_refused() -> None:
    world = prefix_world()
    world.s3.objects[f"{PREFIX_KEY}e-small"] = StoredObject(b"other", "", {})
    with pytest.raises(StoreError, match=r"files/e-small holds something else"):
        world.task("plan")


def test_an_object_that_somebody_removed_is_made_again_alone() -> None:
    world = prefix_world()
    world.run()
    sent = world.s3.calls.count("UploadPart")
    del world.s3.objects[f"{PREFIX_KEY}c-shard.safetensors"]
    world.run()
    world.assert_published()
    assert world.s3.calls.count("UploadPart") - sent == -(-len(CONTENTS["c-shard.safetensors"]) // 65_535)


def test_an_object_that_is_removed_while_a_deploy_runs_is_a_new_beginning() -> None:
    world = prefix_world()
    world.run()
    plan = world.task("plan")
    assert plan == {"Done": True, "UploadIds": [None] * len(CONTENTS), "Items": []}
    del world.s3.objects[f"{PREFIX_KEY}e-small"]
    with pytest.raises(UploadGoneError, match="e-small was removed meanwhile"):
        world.task("finish", UploadIds=plan["UploadIds"])


def test_both_formats_of_the_same_weights_lie_beside_each_other() -> None:
    world = prefix_world()
    world.run()
    archive = World(s3=world.s3)
    archive.run()
    assert REQUEST.manifest_key != archive.request.manifest_key
    keys = {f"{PREFIX_KEY}{path}" for path in CONTENTS}
    assert set(world.s3.objects) == {
        *keys,
        REQUEST.manifest_key,
        archive.request.key,
        archive.request.manifest_key,
    }
