"""A hub, an S3, a Lambda and a network that fail by chance, on a virtual clock."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from random import Random
from typing import Any

import urllib3
from urllib3.exceptions import ReadTimeoutError

from benchmarks.repack_driver import TaskFailed
from quant_llm_repack.edges import Edges
from quant_llm_repack.request import ArtifactRequest
from quant_llm_repack.tasks import run_task
from tests.faults.scheduler import Group, Killed, Scheduler
from tests.unit.repack.fake_s3 import FakeS3, client_error
from tests.unit.repack.fake_web import CDN, HUB, BrokenBody, Canned, FakeWeb
from tests.unit.repack.sources import some_bytes

FUNCTION_SECONDS = 900.0
BLOCK = 65_535
BOTO_TRIES = 4
BOTO_RETRIES = ("SlowDown", "InternalError")
HUB_FAULTS = ("status", "limited", "no answer", "truncated", "stalled", "expired", "wrong byte")
S3_FAULTS = ("SlowDown", "InternalError", "BadDigest", "lost answer")
WORKER_FAULTS = ("killed", "hung", "duplicate")


@dataclass
class Faults:
    """How probable each kind is at each occasion; `happened` counts."""

    chances: Mapping[str, float]
    random: Random
    happened: dict[str, int] = field(default_factory=dict)

    def strikes(self, kind: str) -> bool:
        struck = self.random.random() < self.chances.get(kind, 0.0)
        if struck:
            self.happened[kind] = self.happened.get(kind, 0) + 1
        return struck

    @classmethod
    def drawn(cls, source: Random) -> Faults:
        """Some kinds, each rare or frequent."""
        kinds = [*HUB_FAULTS, *S3_FAULTS, *WORKER_FAULTS]
        drawn = source.sample(kinds, source.randint(0, 5))
        chances = {kind: source.choice([0.002, 0.01, 0.05, 0.3]) for kind in drawn}
        chances.update({kind: source.choice([0.1, 0.3, 0.5]) for kind in drawn if kind in BOTO_RETRIES})
        if "wrong byte" in chances:
            chances["wrong byte"] = source.choice([0.02, 0.1])
        return cls(chances, source)


def contents_by_chance(source: Random) -> dict[str, bytes]:
    """Files of every size that matters, some over many parts."""
    edges = [0, 1, 511, 512, 513, 65_023, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 1]
    sizes = [source.choice([*edges, source.randint(0, 900_000)]) for _ in range(source.randint(1, 5))]
    return {f"d{number % 2}/模型-{number}": some_bytes(size, number) for number, size in enumerate(sizes)}


class FaultyWeb(FakeWeb):
    """The hub and its CDN."""

    def __init__(
        self, contents: Mapping[str, bytes], request: ArtifactRequest, faults: Faults, scheduler: Scheduler
    ) -> None:
        super().__init__(contents, request)
        self.sha256 = {file.path: file.sha256 for file in request.files}
        self.faults = faults
        self.scheduler = scheduler

    def request(self, method: str, url: str, *given: Any, **options: Any) -> urllib3.BaseHTTPResponse:
        self.scheduler.pause(0.01)
        if method != "PUT":
            self._answer_by_chance(method, url)
        response = super().request(method, url, *given, **options)
        return self._spoiled(response) if method == "GET" and response.status == 206 else response

    def _answer_by_chance(self, method: str, url: str) -> None:
        base = CDN if url.startswith(CDN) else HUB
        strikes = self.faults.strikes
        if strikes("status"):
            self.can(method, base, Canned(self.faults.random.choice([500, 502, 503])))
        elif strikes("limited"):
            self.can(method, base, Canned(429, {"Retry-After": str(self.faults.random.randint(0, 400))}))
        elif strikes("no answer"):
            pool = urllib3.HTTPConnectionPool("cdn.example")
            self.can(method, base, Canned(error=ReadTimeoutError(pool, "/", "no answer")))
        elif base == CDN and strikes("expired"):
            self.can(method, base, Canned(403))

    def _spoiled(self, response: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
        body = bytearray(response.read())
        stream: io.BytesIO | None = None
        cut = self.faults.random.randint(0, len(body))
        if self.faults.strikes("wrong byte"):
            body[self.faults.random.randrange(len(body))] ^= 1
        if self.faults.strikes("truncated"):
            stream = io.BytesIO(body[:cut])
        elif self.faults.strikes("stalled"):
            pool = urllib3.HTTPConnectionPool("cdn.example")
            stream = BrokenBody(bytes(body[:cut]), ReadTimeoutError(pool, "/", "stalled"))
            self.scheduler.pause(20.0)
        return urllib3.HTTPResponse(stream or io.BytesIO(body), response.headers, 206, preload_content=False)


class FaultyS3(FakeS3):
    """S3 that is slow, refuses, and loses answers to what it has done."""

    def __init__(self, faults: Faults, scheduler: Scheduler) -> None:
        super().__init__(min_part_bytes=BLOCK, page=faults.random.choice([2, 1000]), on_call=self._before)
        self.faults = faults
        self.scheduler = scheduler

    def _before(self, operation: str) -> None:
        self.scheduler.pause(0.03)
        for code in BOTO_RETRIES:
            if all(self.faults.strikes(code) for _ in range(BOTO_TRIES)):
                raise client_error(operation, code)
        if operation == "UploadPart" and self.faults.strikes("BadDigest"):
            raise client_error(operation, "BadDigest")

    def upload_part(self, **given: Any) -> dict[str, Any]:
        return self._lost(super().upload_part(**given), "UploadPart")

    def complete_multipart_upload(self, **given: Any) -> None:
        super().complete_multipart_upload(**given)
        self._lost({}, "CompleteMultipartUpload")

    def create_multipart_upload(self, **given: Any) -> dict[str, Any]:
        return self._lost(super().create_multipart_upload(**given), "CreateMultipartUpload")

    def _lost(self, answer: dict[str, Any], operation: str) -> dict[str, Any]:
        if self.faults.strikes("lost answer"):
            raise client_error(operation, "InternalError")
        return answer


@dataclass
class Context:
    """Lambda's context, by the virtual clock."""

    scheduler: Scheduler
    began: float
    log_stream_name: str = "stream"

    def get_remaining_time_in_millis(self) -> int:
        return int(1000 * (self.began + FUNCTION_SECONDS - self.scheduler.now))


class FaultyLambda:
    """Runs tasks, each invocation in a group of its own that may be killed or hang at any point."""

    def __init__(self, scheduler: Scheduler, faults: Faults, edges: Callable[[], Edges]) -> None:
        self.scheduler = scheduler
        self.faults = faults
        self.edges = edges
        self.running: list[Group] = []

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        if event["Task"] == "copy" and self.faults.strikes("duplicate"):
            self._start(event)
        group, future = self._start(event)
        try:
            return future.result(FUNCTION_SECONDS + 1)
        except TimeoutError:
            group.is_killed = True
            raise TaskFailed("Sandbox.Timedout", "Task timed out after 900.00 seconds") from None
        except Killed:
            raise TaskFailed("Runtime.ExitError", "the process exited") from None
        except Exception as error:
            raise TaskFailed.of(error) from error

    def _start(self, event: dict[str, Any]) -> tuple[Group, Future[dict[str, Any]]]:
        group = Group()
        self.running.append(group)
        fails = event["Task"] != "fail"
        if fails and self.faults.strikes("killed"):
            self._end_later(group, self.faults.random.uniform(0, 3))
        if fails and self.faults.strikes("hung"):
            self._hang_later(group, self.faults.random.uniform(0, 3))

        def work() -> dict[str, Any]:
            context = Context(self.scheduler, self.scheduler.now)
            result = run_task(json.loads(json.dumps(event)), context, self.edges())
            return dict(json.loads(json.dumps(result)))

        return group, self.scheduler.in_group(group, work)

    def _end_later(self, group: Group, seconds: float) -> None:
        def end() -> None:
            self.scheduler.pause(seconds)
            group.is_killed = True

        self.scheduler.in_group(Group(), end)

    def _hang_later(self, group: Group, seconds: float) -> None:
        def hang() -> None:
            self.scheduler.pause(seconds)
            group.hangs = True

        self.scheduler.in_group(Group(), hang)

    def kill_all(self) -> None:
        for group in self.running:
            group.is_killed = True
