"""Reads byte ranges of files from the Hugging Face hub or a mirror of it.

A file's address on the hub redirects to a signed address on a CDN that expires within the hour. The token
goes to the hub alone. Bodies stall and break off in the middle, so a range goes on from the byte where the
last try ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from quant_llm_repack.deadline import Deadline
from quant_llm_repack.errors import HubError, MismatchError
from quant_llm_repack.hub_answers import (
    content_range,
    is_same_origin,
    is_transient,
    linked_sha256,
    linked_size,
    refusal,
    retry_after,
)
from quant_llm_repack.request import ArtifactRequest, Origin, SourceFile
from quant_llm_repack.tries import TransientProblem, Tries
from quant_llm_repack.verify import require_sha256

DEFAULT_ENDPOINT = "https://huggingface.co"
STALL_SECONDS = 20.0  # a read that brings nothing for so long is given up
MIN_BYTES_PER_SECOND = 256 * 1024  # a slower body is given up: another connection is mostly faster
WINDOW_SECONDS = 30.0  # over which the rate is taken
LOCATION_SECONDS = 45 * 60.0  # signed addresses last an hour at most, and some are minutes old at birth

_CONNECT_SECONDS = 10.0
_CHUNK_BYTES = 256 * 1024
_PROGRESS_BYTES = 1024 * 1024  # a try that brought so much begins a new row of tries
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class _Location:
    """Where a file's bytes are, and their size and sha256 as far as the hub names them.

    `expires` is set for an address that the hub redirected to: a refusal there is mended by asking the hub
    anew.
    """

    url: str
    expires: bool
    found_at: float
    size: int | None
    sha256: str | None


class HubRepository:
    """One commit of a repository on the hub: a `Source` of its files' bytes."""

    def __init__(
        self,
        request: ArtifactRequest,
        *,
        endpoint: str = DEFAULT_ENDPOINT,
        token: str | None = None,
        deadline: Deadline | None = None,
        stall_seconds: float = STALL_SECONDS,
        http: urllib3.PoolManager | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the request's repository at its commit from the hub at `endpoint`.

        Files with an origin of their own are read from there, with the same token.
        """
        self._repository = request.repository
        self._commit = request.commit
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._deadline = deadline or Deadline()
        self._timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=stall_seconds)
        self._http = http or urllib3.PoolManager()
        self._sleep = sleep
        self._clock = clock
        self._locations: dict[str, _Location] = {}

    def check(self, files: Iterable[SourceFile]) -> None:
        """Ask the hub for every file before any is read: HubError or MismatchError for one that can't be had.

        Where the hub names a file's size and sha256 they must be the lock's.
        """
        for file in files:
            location = self._locate_at_last(file)
            if location.size is not None:
                _require_size(file, location.size)
            if location.sha256 is not None:
                require_sha256(file, location.sha256)

    def _locate_at_last(self, file: SourceFile) -> _Location:
        tries = self._tries(file)
        while True:
            try:
                return self._locate(file)
            except TransientProblem as problem:
                tries.failed(problem)

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive) of `file`, in chunks of at most 256 KiB.

        HubError when the hub refuses or goes on failing, MismatchError when the file has another size than
        the lock names, OutOfTimeError at the deadline.
        """
        tries = self._tries(file)
        position = start
        while position < stop:
            began = position
            try:
                for chunk in self._body(file, position, stop):
                    yield chunk
                    position += len(chunk)
            except TransientProblem as problem:
                if position - began >= _PROGRESS_BYTES:
                    tries.succeeded()
                tries.failed(problem)

    def _body(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        """One try at a range."""
        self._deadline.check()
        location = self._locate(file)
        response, _ = self._request("GET", location.url, {"Range": f"bytes={start}-{stop - 1}"})
        try:
            if response.status not in (200, 206, 416) and location.expires:
                self._locations.pop(file.path, None)  # two threads of a worker read
                raise _transient(response)
            self._require_range(response, file, start, stop)
            missing = stop - start
            read = getattr(response, "read1", response.read)  # what has come, without waiting for more
            window_began, window_bytes = self._clock(), 0
            while missing:
                self._deadline.check()
                chunk = read(min(_CHUNK_BYTES, missing), decode_content=False)
                if not chunk:
                    raise TransientProblem(f"the body ended {missing} bytes early")
                window_bytes += len(chunk)
                seconds = self._clock() - window_began
                yield chunk
                missing -= len(chunk)
                if seconds >= WINDOW_SECONDS:
                    if missing and window_bytes < seconds * MIN_BYTES_PER_SECOND:
                        raise TransientProblem(f"the body drips: {window_bytes:,} bytes in {seconds:.0f} s")
                    window_began, window_bytes = self._clock(), 0
        except HTTPError as error:
            raise TransientProblem(f"the body broke off: {type(error).__name__}") from None
        finally:
            response.close()  # gives a connection whose body was read to its end back to the pool

    def _require_range(
        self, response: urllib3.BaseHTTPResponse, file: SourceFile, start: int, stop: int
    ) -> None:
        if response.status == 200 and (start, stop) == (0, file.size):
            return  # a small file that the hub serves itself, whole; its length is counted all the same
        if response.status == 206:
            got = content_range(response.headers)
            if got and got[2] != file.size:
                _require_size(file, got[2])
            if got != (start, stop, file.size):
                raise TransientProblem(
                    f"bytes {start}-{stop - 1} were asked for, got {response.headers.get('Content-Range')}"
                )
            return
        if response.status in (200, 416):
            answer = "the whole file" if response.status == 200 else "none of them"
            raise HubError(
                f"{self._name(file)}: asked for bytes {start}-{stop - 1}, got {answer} "
                f"(HTTP status {response.status})"
            )
        self._refuse(response, file)

    def _locate(self, file: SourceFile) -> _Location:
        """The file's address, from memory while it is fresh."""
        known = self._locations.get(file.path)
        if known and self._clock() - known.found_at < LOCATION_SECONDS:
            return known
        origin = self._origin(file)
        address = f"{self._endpoint}/{origin.repository}/resolve/{origin.commit}/{quote(origin.path)}"
        response, url = self._request("HEAD", address, {})
        if response.status != 200 and response.status not in _REDIRECTS:
            self._refuse(response, file)
        location = _Location(
            url=urljoin(url, response.headers.get("Location", "")),
            expires=response.status in _REDIRECTS,
            found_at=self._clock(),
            size=linked_size(response.status, response.headers),
            sha256=linked_sha256(response.headers),
        )
        self._locations[file.path] = location
        return location

    def _request(
        self, method: str, url: str, headers: dict[str, str]
    ) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Ask and follow redirects; a HEAD stops at an absolute one, whose target is the file's address."""
        for _ in range(_MAX_REDIRECTS + 1):
            on_hub = is_same_origin(url, self._endpoint)
            sent = {**headers, "Accept-Encoding": "identity", "User-Agent": "quant-llm-repack"}
            if on_hub and self._token:
                sent["Authorization"] = f"Bearer {self._token}"
            try:
                response = self._http.request(
                    method,
                    url,
                    headers=sent,
                    preload_content=method == "HEAD",
                    redirect=False,
                    retries=False,
                    timeout=self._timeout,
                )
            except HTTPError as error:
                raise TransientProblem(f"no answer: {type(error).__name__}") from None
            if response.status not in _REDIRECTS:
                return response, url
            target = response.headers.get("Location", "")
            if method == "HEAD" and urlsplit(target).netloc:
                return response, url
            response.close()
            url = urljoin(url, target)
        raise HubError(f"{self._repository}: the hub redirects more than {_MAX_REDIRECTS} times")

    def _refuse(self, response: urllib3.BaseHTTPResponse, file: SourceFile) -> NoReturn:
        """Raise what the hub's answer means."""
        if is_transient(response.status):
            raise _transient(response)
        raise refusal(
            response.status,
            response.headers,
            what=self._name(file),
            repository=self._origin(file).repository,
            has_token=self._token is not None,
        )

    def _tries(self, file: SourceFile) -> Tries:
        return Tries(self._name(file), deadline=self._deadline, sleep=self._sleep)

    def _name(self, file: SourceFile) -> str:
        origin = self._origin(file)
        return f"{origin.path} of {origin.repository} at commit {origin.commit[:12]}"

    def _origin(self, file: SourceFile) -> Origin:
        return file.origin or Origin(repository=self._repository, commit=self._commit, path=file.path)


def _transient(response: urllib3.BaseHTTPResponse) -> TransientProblem:
    return TransientProblem(f"HTTP status {response.status}", wait_seconds=retry_after(response.headers))


def _require_size(file: SourceFile, got: int) -> None:
    if got != file.size:
        raise MismatchError(f"{file.path}: the hub's file has {got} bytes, expected {file.size} of the lock")
