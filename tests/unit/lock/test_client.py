"""Retries, ranges and the token's way, against answers made in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from quant_llm_tools.lock.client import ATTEMPTS, HubClient, HubFault

HUB = "https://hub.example"
URL = f"{HUB}/owner/name/resolve/main/file"

Answer = Callable[[httpx2.Request], httpx2.Response] | httpx2.Response | Exception


class Script:
    """Gives the answers in turn, the last one for ever, and keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            stream = httpx2.ByteStream(answer.content)
            return httpx2.Response(answer.status_code, headers=answer.headers, stream=stream)
        return answer(request)


class Waits(list[float]):
    """Notes how long it would have slept."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client(script: Script, waits: Waits | None = None, notices: list[str] | None = None) -> HubClient:
    return HubClient(
        HUB,
        notice=(notices if notices is not None else []).append,
        sleep=waits if waits is not None else Waits(),
        transport=httpx2.MockTransport(script),
    )


def partial(content: bytes = b"cde", stated: str = "bytes 2-4/10") -> httpx2.Response:
    return httpx2.Response(206, headers={"Content-Range": stated}, content=content)


@pytest.mark.parametrize(
    "fault",
    [
        httpx2.Response(503),
        httpx2.Response(429),
        httpx2.Response(500),
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("slow"),
        httpx2.RemoteProtocolError("peer closed connection"),
    ],
)
def test_passing_fault_is_asked_again(fault: Answer) -> None:
    script, waits = Script(fault, fault, fault, httpx2.Response(200, content=b"well")), Waits()
    assert client(script, waits).get(URL).content == b"well"
    assert len(script.requests) == 4
    assert all(0 <= wait <= 2**attempt for attempt, wait in enumerate(waits))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (httpx2.Response(503), "it answered 503, 5 times"),
        (httpx2.ConnectError("refused"), "refused, 5 times"),
        (httpx2.ReadTimeout(""), "ReadTimeout, 5 times"),
    ],
)
def test_lasting_fault_ends_in_an_error(fault: Answer, message: str) -> None:
    script, waits = Script(fault), Waits()
    with pytest.raises(HubFault, match=f"^{message}$"):
        client(script, waits).get(URL)
    assert (len(script.requests), len(waits)) == (ATTEMPTS, ATTEMPTS - 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 416])
def test_answer_that_will_not_change_is_not_asked_again(status: int) -> None:
    script = Script(httpx2.Response(status))
    assert client(script).get(URL).status_code == status
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "7"}, {"RateLimit": '"api";r=0;t=7', "Retry-After": "3"}],
)
def test_stated_wait_is_kept_and_told(headers: dict[str, str]) -> None:
    waits, notices = Waits(), list[str]()
    script = Script(httpx2.Response(429, headers=headers), httpx2.Response(200))
    client(script, waits, notices).get(URL)
    assert waits == [7.0]
    assert notices == ["the hub is troubled (it answered 429), asking again in 7 s"]


def test_quota_that_is_not_used_up_does_not_set_the_wait() -> None:
    waits = Waits()
    limit = {"RateLimit": '"api";r=2999;t=290'}
    client(Script(httpx2.Response(429, headers=limit), httpx2.Response(200)), waits).get(URL)
    assert waits[0] <= 1


def test_wait_that_is_too_long_is_an_error_at_once() -> None:
    script = Script(httpx2.Response(429, headers={"Retry-After": "240"}))
    with pytest.raises(HubFault, match="answered 429 and wants to be asked again in 240 s"):
        client(script).get(URL)
    assert len(script.requests) == 1


def test_every_request_has_a_timeout_even_when_the_caller_sets_none() -> None:
    script = Script(httpx2.Response(200))
    client(script).get(URL, timeout=None)
    assert script.requests[0].extensions["timeout"] == {
        "connect": 10.0,
        "read": 30.0,
        "write": 30.0,
        "pool": 30.0,
    }


def test_token_stays_with_the_hub_on_redirects_and_on_pages_elsewhere() -> None:
    elsewhere = httpx2.Response(302, headers={"Location": "https://cdn.example/x"})
    script = Script(elsewhere, httpx2.Response(200))
    hub = client(script)
    hub.get(URL, headers={"Authorization": "Bearer hf_x"})
    hub.get("https://evil.example/page2", headers={"Authorization": "Bearer hf_x"})
    assert ["Authorization" in request.headers for request in script.requests] == [True, False, False]


def test_token_follows_redirects_within_the_hub() -> None:
    script = Script(httpx2.Response(307, headers={"Location": "/api/resolve-cache/x"}), httpx2.Response(200))
    client(script).get(URL, headers={"Authorization": "Bearer hf_x"})
    assert [request.headers["Authorization"] for request in script.requests] == ["Bearer hf_x"] * 2


def test_range_is_read_with_token_and_without_compression() -> None:
    script = Script(partial())
    assert client(script).read_range(URL, 2, 5, 10, "hf_x") == b"cde"
    headers = script.requests[0].headers
    assert (headers["Range"], headers["Accept-Encoding"]) == ("bytes=2-4", "identity")
    assert headers["Authorization"] == "Bearer hf_x"


def test_whole_file_may_come_without_a_range() -> None:
    assert client(Script(httpx2.Response(200, content=b"abc"))).read_range(URL, 0, 3, 3, False) == b"abc"


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, content=b"abcdefghij"),
        partial(stated="bytes 2-4/11"),
        partial(stated="bytes 0-2/10"),
    ],
)
def test_server_that_ignores_ranges_or_lists_another_size_is_refused(answer: httpx2.Response) -> None:
    with pytest.raises(HubFault, match="a mirror must serve ranges"):
        client(Script(answer)).read_range(URL, 2, 5, 10, False)


class Endless(httpx2.SyncByteStream):
    """A body that never ends, and counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.taken += 1
            yield b"x" * 100


def test_body_that_is_longer_than_asked_for_is_not_read_on() -> None:
    streams: list[Endless] = []

    def answer(_request: httpx2.Request) -> httpx2.Response:
        streams.append(Endless())
        return httpx2.Response(206, headers={"Content-Range": "bytes 2-4/10"}, stream=streams[-1])

    with pytest.raises(HubFault, match="3 bytes were asked for"):
        client(Script(answer)).read_range(URL, 2, 5, 10, False)
    assert [stream.taken for stream in streams] == [1] * ATTEMPTS


def test_body_that_breaks_off_is_read_again() -> None:
    class Broken(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"c"
            raise httpx2.ReadError("connection reset")

    broken = httpx2.Response(206, headers={"Content-Range": "bytes 2-4/10"}, stream=Broken())
    script = Script(lambda _: broken, partial(b"cd"), partial())
    assert client(script).read_range(URL, 2, 5, 10, False) == b"cde"


def test_error_answer_to_a_range_is_raised() -> None:
    with pytest.raises(HfHubHTTPError):
        client(Script(httpx2.Response(404))).read_range(URL, 2, 5, 10, False)
