"""The tasks of the state machine, run whole by the driver, with the hub and S3 as fakes."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.repack_driver import ExecutionFailed, TaskFailed, drive
from quant_llm_repack import sha256_state
from quant_llm_repack.edges import Edges
from quant_llm_repack.errors import RequestError, StoreError, StoreUnavailableError
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.state_machine import RESTARTS
from quant_llm_repack.tasks import reason_of, run_task
from tests.unit.repack.fake_s3 import FakeS3, client_error
from tests.unit.repack.fake_web import ANSWER, HUB, Canned, FakeWeb
from tests.unit.repack.sources import artifact_request, some_bytes
from tests.unit.repack.test_render import contents_by_path, objects_of

CONTENTS = {
    "a-config.json": b"{}",
    "b-shard.safetensors": some_bytes(900_000, 1),
    "c-shard.safetensors": some_bytes(700_000, 2),
    "d-empty": b"",
    "e-small": some_bytes(200, 3),
}
REQUEST = artifact_request(CONTENTS)


@dataclass
class Context:
    """Lambda's context: `calls` looks at the clock until the time is over."""

    calls: int = 1_000_000
    log_stream_name: str = "stream"

    def get_remaining_time_in_millis(self) -> int:
        self.calls -= 1
        return 900_000 if self.calls > 0 else 0


@dataclass
class World:
    contents: dict[str, bytes] = field(default_factory=lambda: dict(CONTENTS))
    workers: int = 3
    blocks_per_part: int = 1
    s3: FakeS3 = field(default_factory=lambda: FakeS3(min_part_bytes=0, page=3))
    request: ArtifactRequest = REQUEST
    calls_in_time: int = 1_000_000

    def __post_init__(self) -> None:
        self.web = FakeWeb(self.contents, self.request)
        self.now = 0.0
        self.invocations: list[dict[str, Any]] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        time.sleep(0.0005)  # for the other threads

    @property
    def edges(self) -> Edges:
        return Edges(
            s3=lambda: self.s3.client,
            http=self.web,
            sleep=self.sleep,
            clock=lambda: self.now,
            environment={"HF_ENDPOINT": HUB, "WORKERS": str(self.workers)},
            blocks_per_part=self.blocks_per_part,
        )

    def task(self, name: str, **event: Any) -> dict[str, Any]:
        self.invocations.append({"Task": name, **event})
        given = {"Task": name, "Request": self.request.to_properties(), **event}
        result = run_task(json.loads(json.dumps(given)), Context(self.calls_in_time), self.edges)
        return dict(json.loads(json.dumps(result)))

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        given = dict(event)
        try:
            return self.task(given.pop("Task"), **given)
        except Exception as error:
            raise TaskFailed.of(error) from error

    def run(self) -> dict[str, Any]:
        return drive(
            self.invoke,
            self.request.to_properties(),
            workers=self.workers,
            wait_handle=ANSWER,
            sleep=lambda seconds: None,
        )

    def assert_nothing_left(self) -> None:
        assert (self.s3.objects, self.s3.uploads) == ({}, {})

    def assert_published(self) -> None:
        expected = objects_of(self.request, self.contents)
        assert set(self.s3.objects) == {*expected, self.request.manifest_key}
        assert {key: self.s3.objects[key].body for key in expected} == expected
        assert self.s3.uploads == {}


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("blocks_per_part", [1, 3, 100])
def test_any_number_of_workers_makes_the_same_archive(workers: int, blocks_per_part: int) -> None:
    world = World(workers=workers, blocks_per_part=blocks_per_part)
    result = world.run()
    world.assert_published()
    assert result == {
        "ModelDataUrl": REQUEST.url,
        "Bytes": str(len(world.s3.objects[REQUEST.key].body)),
    }
    assert world.web.answers == [
        {
            "Status": "SUCCESS",
            "UniqueId": REQUEST.digest,
            "Data": REQUEST.url,
            "Reason": "the artifact is there, and every file's sha256 is the lock's",
        }
    ]


def test_an_artifact_that_is_there_is_a_success_without_the_hub() -> None:
    world = World()
    world.run()
    again = World(s3=world.s3)
    assert again.run()["ModelDataUrl"] == REQUEST.url
    assert [each["Task"] for each in again.invocations] == ["plan", "finish"]
    assert {asked.url for asked in again.web.asked} == {ANSWER}
    world.assert_published()


def test_a_restart_copies_only_what_is_missing() -> None:
    world = World()
    plan = world.task("plan")
    for index, item in enumerate(plan["Items"][:2]):
        world.task("copy", UploadIds=plan["UploadIds"], Item=item, Index=index)
    copied = world.s3.calls.count("UploadPart")
    assert copied == sum(len(item["Parts"]) for item in plan["Items"][:2])
    assert world.task("plan") == plan
    world.run()
    world.assert_published()
    parts = sum(len(item["Parts"]) for item in plan["Items"]) + 1
    assert world.s3.calls.count("UploadPart") == parts


def test_a_worker_whose_time_is_over_goes_on_in_the_next_invocation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World(workers=1, calls_in_time=20)
    world.run()
    world.assert_published()
    copies = [each for each in world.invocations if each["Task"] == "copy"]
    assert len(copies) > 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    progress = [line for line in lines if line["event"] == "repack.progress"]
    archive_bytes = len(world.s3.objects[REQUEST.key].body)
    assert {line["artifact_bytes"] for line in progress} == {archive_bytes}
    assert 0 < archive_bytes - sum(line["bytes_added"] for line in progress) < 70_000  # the last part


@pytest.mark.parametrize("name", ["a-config.json", "b-shard.safetensors", "e-small"])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_wrong_byte_is_named_and_never_published(name: str, workers: int) -> None:
    world = World(workers=workers)
    content = bytearray(CONTENTS[name])
    content[len(content) // 2] ^= 1
    original, world.web.contents[name] = hashlib.sha256(CONTENTS[name]).hexdigest(), bytes(content)
    # The hub goes on to name the file by its true hash.
    world.web.sha256[name] = original
    with pytest.raises(ExecutionFailed) as caught:
        world.run()
    assert str(caught.value) == (
        f"{name}: the hub's file has sha256 {hashlib.sha256(content).hexdigest()}, expected "
        f"{original} of the lock"
    )
    assert [answer["Status"] for answer in world.web.answers] == ["FAILURE"]
    assert world.web.answers[0]["Reason"] == str(caught.value)
    world.assert_nothing_left()


def test_without_states_each_file_has_one_worker_and_a_restart_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sha256_state, "_library", lambda: None)
    world = World(calls_in_time=25)
    plan = world.task("plan")
    assert not world.task("copy", UploadIds=plan["UploadIds"], Item=plan["Items"][0], Index=0)["Done"]
    world.calls_in_time = 1_000_000
    world.run()
    world.assert_published()


def test_a_part_that_changed_after_it_was_hashed_is_never_published() -> None:
    world = World()
    plan = world.task("plan")
    for index, item in enumerate(plan["Items"]):
        world.task("copy", UploadIds=plan["UploadIds"], Item=item, Index=index)
    parts = world.s3.uploads[plan["UploadIds"][0]].parts
    parts[2] = bytes(len(parts[2]))
    with pytest.raises(StoreError, match="part 2 of the upload is not what was hashed"):
        world.task("finish", UploadIds=plan["UploadIds"])
    assert REQUEST.key not in world.s3.objects


def test_a_part_that_was_not_copied_is_found() -> None:
    world = World()
    plan = world.task("plan")
    with pytest.raises(StoreError, match="part 1 was not copied"):
        world.task("finish", UploadIds=plan["UploadIds"])


def test_a_missing_predecessor_is_made_up_for_after_a_time() -> None:
    world = World()
    plan = world.task("plan")
    late = {"Parts": [10]}
    assert world.task("copy", UploadIds=plan["UploadIds"], Item=late, Index=0) == {"Done": True}
    assert world.now >= 30
    world.run()
    world.assert_published()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            {
                "Error": "MismatchError",
                "Cause": json.dumps({"errorMessage": "a: wrong", "errorType": "MismatchError"}),
            },
            "a: wrong",
        ),
        (
            {"Error": "HubUnavailableError", "Cause": json.dumps({"errorMessage": "failed 6 times"})},
            "failed 6 times; deploy again when that is over",
        ),
        (
            {
                "Error": "StoreUnavailableError",
                "Cause": json.dumps({"errorMessage": "in the way; deploy again"}),
            },
            "in the way; deploy again",
        ),
        (
            {"Error": "TypeError", "Cause": json.dumps({"errorMessage": "oops"})},
            "the repack function has a bug, see its log: TypeError: oops",
        ),
        (
            {"Error": "States.Timeout", "Cause": "timed out"},
            "the repack function ended with States.Timeout: timed out",
        ),
        ({}, "the repack function ended with no error: see its log"),
    ],
)
def test_the_reason_is_one_sentence(error: dict[str, str], reason: str) -> None:
    assert reason_of(error) == reason


def test_a_failing_clearing_up_does_not_hide_the_first_error() -> None:
    world = World()
    world.task("plan")
    world.s3.failures["AbortMultipartUpload"] = ["InternalError"]
    error = {"Error": "HubError", "Cause": json.dumps({"errorMessage": "gated"})}
    with pytest.raises(StoreUnavailableError):
        world.task("fail", WaitHandle=ANSWER, Error=error)
    assert world.web.answers[0]["Reason"] == "gated"
    assert world.task("fail", WaitHandle=ANSWER, Error=error) == {"Reason": "gated"}
    world.assert_nothing_left()


def test_an_expired_handle_leaves_the_artifact_published(capsys: pytest.CaptureFixture[str]) -> None:
    world = World()
    world.web.can("PUT", ANSWER, Canned(403))
    assert world.run()["ModelDataUrl"] == REQUEST.url
    world.assert_published()
    assert "repack.signal_refused" in capsys.readouterr().out
    again = World(s3=world.s3)
    again.run()
    assert [each["Task"] for each in again.invocations] == ["plan", "finish"]
    assert [answer["Status"] for answer in again.web.answers] == ["SUCCESS"]


def test_a_cloudformation_out_of_reach_is_tried_again_by_the_state_machine() -> None:
    world = World()
    world.web.can("PUT", ANSWER, *[Canned(500)] * 5)
    world.run()
    world.assert_published()
    assert [each["Task"] for each in world.invocations].count("finish") == 2
    assert [answer["Status"] for answer in world.web.answers] == ["SUCCESS"]


def failing_beside(world: World) -> None:
    """Another execution of the same artifact fails."""
    error = {"Error": "HubError", "Cause": json.dumps({"errorMessage": "gated"})}
    world.task("fail", Error=error)


@pytest.mark.parametrize("task", ["copy", "finish"])
def test_an_upload_that_another_execution_ends_is_begun_anew(task: str) -> None:
    world = World(workers=2)
    failures = 0

    def invoke(event: dict[str, Any]) -> dict[str, Any]:
        nonlocal failures
        if event["Task"] == task and failures < RESTARTS:
            failures += 1
            failing_beside(world)
        return world.invoke(event)

    drive(invoke, REQUEST.to_properties(), workers=2, wait_handle=ANSWER, sleep=lambda seconds: None)
    world.assert_published()
    assert [answer["Status"] for answer in world.web.answers] == ["SUCCESS"]


def test_an_upload_that_is_ended_again_and_again_is_a_clear_error() -> None:
    world = World(workers=2)

    def invoke(event: dict[str, Any]) -> dict[str, Any]:
        if event["Task"] == "finish":
            failing_beside(world)
        return world.invoke(event)

    with pytest.raises(ExecutionFailed, match=r"NoSuchUpload to ListParts"):
        drive(invoke, REQUEST.to_properties(), workers=2, wait_handle=ANSWER, sleep=lambda seconds: None)
    assert [each["Task"] for each in world.invocations].count("plan") == RESTARTS + 1
    world.assert_nothing_left()


def test_clearing_up_spares_the_records_of_an_upload_that_began_meanwhile() -> None:
    world = World()
    world.task("plan")
    began: list[list[str]] = []

    def begin(operation: str) -> None:
        if operation == "AbortMultipartUpload" and not began:
            began.append([])
            world.s3.on_call = lambda operation: None
            ours = next(iter(world.s3.uploads))
            del world.s3.uploads[ours]  # the abort has been done
            plan = world.task("plan")
            for index, item in enumerate(plan["Items"]):
                world.task("copy", UploadIds=plan["UploadIds"], Item=item, Index=index)
            began[0] = plan["UploadIds"]

    world.s3.on_call = begin
    failing_beside(world)
    world.task("finish", UploadIds=began[0])
    world.assert_published()


def test_a_task_that_is_none_is_refused() -> None:
    with pytest.raises(RequestError, match="must be one of plan, copy, finish, fail, clear, got 'other'"):
        World().task("other")


@given(contents_by_path, st.integers(1, 30), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_the_archive_is_the_same_for_any_files_parts_and_workers(
    contents: dict[str, bytes], workers: int, blocks_per_part: int
) -> None:
    world = World(
        contents=contents,
        request=artifact_request(contents),
        workers=workers,
        blocks_per_part=blocks_per_part,
    )
    world.run()
    world.assert_published()


def test_an_upload_whose_beginning_was_not_answered_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    begin = world.s3.create_multipart_upload

    def begin_and_lose_the_answer(**given: Any) -> dict[str, Any]:
        begin(**given)
        raise client_error("CreateMultipartUpload", "InternalError")

    monkeypatch.setattr(world.s3, "create_multipart_upload", begin_and_lose_the_answer)
    with pytest.raises(StoreUnavailableError):
        world.task("plan")
    world.assert_nothing_left()
