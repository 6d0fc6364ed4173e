"""The hub's client against every way in which a hub, a CDN or the wire between can fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import urllib3
from urllib3.exceptions import IncompleteRead, NewConnectionError, ReadTimeoutError

from quant_llm_repack.deadline import Deadline
from quant_llm_repack.errors import HubError, MismatchError, OutOfTimeError
from quant_llm_repack.hub import LOCATION_SECONDS, HubRepository
from quant_llm_repack.request import Origin, SourceFile
from tests.unit.repack.fake_web import CDN, HUB, Canned, FakeWeb
from tests.unit.repack.sources import artifact_request, some_bytes

MIB = 1 << 20
CONTENTS = {"config.json": b'{"a": 1}', "weights/模型 1.gguf": some_bytes(3 * MIB)}
REQUEST = artifact_request(CONTENTS)
CONFIG, WEIGHTS = REQUEST.files
POOL = urllib3.HTTPConnectionPool("cdn.example")
STALL = ReadTimeoutError(POOL, "/", "read timed out")
TOKEN = "hf_secret"


class Fixture:
    """A hub's client, with a clock that stands still and waits that are only written down."""

    def __init__(self, *, token: str | None = None, deadline: Deadline | None = None) -> None:
        self.web = FakeWeb(CONTENTS, REQUEST)
        self.waits: list[float] = []
        self.now = 0.0
        self.hub = HubRepository(
            REQUEST,
            endpoint=HUB + "/",
            token=token,
            deadline=deadline,
            http=self.web,
            sleep=self.waits.append,
            clock=lambda: self.now,
        )

    def read(self, start: int = 0, stop: int = WEIGHTS.size) -> bytes:
        return b"".join(self.hub.read(WEIGHTS, start, stop))

    def read_right(self, start: int = 0, stop: int = WEIGHTS.size) -> None:
        assert self.read(start, stop) == CONTENTS[WEIGHTS.path][start:stop]

    def asked(self, method: str) -> list[str]:
        return [asked.headers.get("Range", asked.url) for asked in self.web.asked if asked.method == method]


def test_a_range_is_read_from_the_cdn() -> None:
    fixture = Fixture()
    fixture.read_right(1000, 2 * MIB)
    assert [asked.method + " " + asked.host for asked in fixture.web.asked] == [
        "HEAD hub.example",
        "GET cdn.example",
    ]
    assert fixture.asked("HEAD") == [
        f"{HUB}/acme/model-GGUF/resolve/{REQUEST.commit}/weights/%E6%A8%A1%E5%9E%8B%201.gguf"
    ]
    assert fixture.asked("GET") == ["bytes=1000-2097151"]


def test_a_file_with_an_origin_is_asked_of_its_own_repository() -> None:
    fixture = Fixture()
    fixture.web.can("HEAD", HUB, Canned(404))
    origin = Origin(repository="acme/law-lora", commit="b" * 40, path="law.gguf")
    adapter = SourceFile(path="adapters/law.gguf", size=3, sha256="0" * 64, origin=origin)
    with pytest.raises(HubError, match=r"^law\.gguf of acme/law-lora at commit bbbbbbbbbbbb"):
        fixture.hub.check([adapter])
    assert fixture.asked("HEAD") == [f"{HUB}/acme/law-lora/resolve/{'b' * 40}/law.gguf"]


def test_a_small_file_is_read_from_the_hub() -> None:
    fixture = Fixture()
    assert b"".join(fixture.hub.read(CONFIG, 0, CONFIG.size)) == CONTENTS["config.json"]
    assert {asked.host for asked in fixture.web.asked} == {"hub.example"}


def test_a_small_file_may_come_whole() -> None:
    fixture = Fixture()
    fixture.web.can("GET", HUB, Canned(200, body=CONTENTS["config.json"]))
    assert b"".join(fixture.hub.read(CONFIG, 0, CONFIG.size)) == CONTENTS["config.json"]


def test_a_signed_address_is_used_again_until_it_is_old() -> None:
    fixture = Fixture()
    for seconds, heads in ((0, 1), (LOCATION_SECONDS - 1, 1), (LOCATION_SECONDS, 2)):
        fixture.now = seconds
        fixture.read_right(0, 10)
        assert len(fixture.asked("HEAD")) == heads


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_an_expired_address_is_asked_for_anew(status: int) -> None:
    fixture = Fixture()
    fixture.web.can("GET", CDN, Canned(status))
    fixture.read_right()
    assert [asked.url[-1] for asked in fixture.web.asked if asked.method == "GET"] == ["1", "2"]


def test_the_token_goes_to_the_hub_alone() -> None:
    fixture = Fixture(token=TOKEN)
    fixture.read_right()
    sent = {asked.host: asked.headers.get("Authorization") for asked in fixture.web.asked}
    assert sent == {"hub.example": f"Bearer {TOKEN}", "cdn.example": None}


def test_a_relative_redirect_is_followed_with_its_query_and_the_token() -> None:
    fixture = Fixture(token=TOKEN)
    fixture.web.can("HEAD", HUB, Canned(307, {"Location": "/api/resolve-cache/x?etag=1"}))
    fixture.web.can("HEAD", HUB, Canned(302, {"Location": f"{CDN}{fixture.web.prefix}{WEIGHTS.path}"}))
    fixture.read_right()
    assert fixture.asked("HEAD")[1] == f"{HUB}/api/resolve-cache/x?etag=1"
    assert fixture.web.asked[1].headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_redirect_of_the_body_is_followed_without_the_token() -> None:
    fixture = Fixture(token=TOKEN)
    fixture.web.can(
        "GET", CDN, Canned(302, {"Location": f"https://other.example{fixture.web.prefix}{WEIGHTS.path}"})
    )
    fixture.read_right()
    assert fixture.web.asked[-1].host == "other.example"
    assert "Authorization" not in fixture.web.asked[-1].headers


def test_redirects_in_a_ring_are_an_error() -> None:
    fixture = Fixture()
    fixture.web.can("HEAD", HUB, *[Canned(307, {"Location": "/again"})] * 9)
    with pytest.raises(HubError, match="redirects more than 5 times"):
        fixture.read()


@pytest.mark.parametrize("error", [None, STALL, IncompleteRead(5, 5)], ids=["cut", "stall", "incomplete"])
def test_a_body_that_ends_early_goes_on_where_it_ended(error: Exception | None) -> None:
    fixture = Fixture()
    fixture.web.broken = [(300_000, error), (7, error)]
    fixture.read_right()
    assert fixture.asked("GET") == ["bytes=0-3145727", "bytes=300000-3145727", "bytes=300007-3145727"]
    assert len(fixture.asked("HEAD")) == 1


def test_six_failures_in_a_row_are_the_end() -> None:
    fixture = Fixture()
    fixture.web.can("HEAD", HUB, *[Canned(503)] * 6)
    with pytest.raises(HubError) as caught:
        fixture.read()
    assert str(caught.value) == (
        f"{WEIGHTS.path} of acme/model-GGUF at commit ab810cf68114: failed 6 times in a row, the last with: "
        "HTTP status 503"
    )
    assert len(fixture.waits) == 5
    assert sum(fixture.waits) <= 15.5


def test_failures_with_progress_in_between_are_not_in_a_row() -> None:
    fixture = Fixture()
    fixture.web.broken = [(MIB, None), *[(0, STALL)] * 4, (MIB, STALL), *[(0, STALL)] * 4]
    fixture.read_right()


@pytest.mark.parametrize(
    "canned",
    [
        Canned(500),
        Canned(429),
        Canned(408),
        Canned(error=NewConnectionError(POOL, "refused")),  # type: ignore[arg-type]  # the stubs want a connection
        Canned(error=STALL),
        Canned(206, {"Content-Range": f"bytes 1-5/{WEIGHTS.size}"}, bytes(WEIGHTS.size)),
        Canned(206, body=bytes(WEIGHTS.size)),
    ],
    ids=["500", "429", "408", "refused", "timeout", "wrong range", "no range"],
)
def test_a_passing_failure_of_the_cdn_is_tried_again(canned: Canned) -> None:
    fixture = Fixture()
    fixture.web.can("GET", CDN, canned, canned)
    fixture.read_right()
    assert len(fixture.waits) == 2


def test_the_hub_says_how_long_to_wait() -> None:
    fixture = Fixture()
    fixture.web.can("HEAD", HUB, Canned(429, {"RateLimit": '"resolvers";r=0;t=42'}))
    fixture.web.can("GET", CDN, Canned(503, {"Retry-After": "7"}))
    fixture.read_right()
    assert 42 <= fixture.waits[0] < 43
    assert 7 <= fixture.waits[1] < 9


def test_a_wait_past_the_deadline_is_an_error_at_once() -> None:
    fixture = Fixture(deadline=Deadline(lambda: 100))
    fixture.web.can("HEAD", HUB, Canned(429, {"RateLimit": '"resolvers";r=0;t=280'}))
    with pytest.raises(
        HubError, match=r"no time is left to wait 28\d s for another try after: HTTP status 429"
    ):
        fixture.read()
    assert fixture.waits == []


def test_reading_stops_at_the_deadline() -> None:
    left = iter([9.0, 9.0, 9.0, 0.0])
    fixture = Fixture(deadline=Deadline(lambda: next(left)))
    with pytest.raises(OutOfTimeError):
        fixture.read()


@pytest.mark.parametrize(
    ("canned", "message"),
    [
        (Canned(404, {"X-Error-Code": "EntryNotFound"}), "there is no such file at this commit"),
        (Canned(401), "name the secret with a token in token_secret"),
        (Canned(403, {"X-Error-Code": "GatedRepo"}), "the repository is gated"),
        (Canned(410), "the hub refused it"),
    ],
)
def test_a_refusal_of_the_hub_is_final(canned: Canned, message: str) -> None:
    fixture = Fixture()
    fixture.web.can("HEAD", HUB, canned)
    with pytest.raises(HubError, match=message):
        fixture.hub.check([WEIGHTS])
    assert len(fixture.web.asked) == 1


def test_a_refusal_of_the_hubs_own_body_is_final() -> None:
    fixture = Fixture()
    fixture.web.can("GET", HUB, Canned(403))
    with pytest.raises(HubError, match="the repository is gated"):
        list(fixture.hub.read(CONFIG, 0, CONFIG.size))


def test_a_server_that_ignores_ranges_is_an_error() -> None:
    fixture = Fixture()
    fixture.web.can("GET", CDN, Canned(200, body=CONTENTS[WEIGHTS.path]))
    with pytest.raises(HubError, match="asked for bytes 5-9, got the whole file"):
        fixture.read(5, 10)


def test_a_range_past_the_end_is_an_error() -> None:
    fixture = Fixture()
    fixture.web.can("GET", CDN, Canned(416))
    with pytest.raises(HubError, match="got none of them"):
        fixture.read()


def test_another_size_on_the_cdn_is_an_error() -> None:
    fixture = Fixture()
    fixture.web.can("GET", CDN, Canned(206, {"Content-Range": "bytes 0-9/10"}))
    with pytest.raises(
        MismatchError, match=f"the hub's file has 10 bytes, expected {WEIGHTS.size} of the lock"
    ):
        fixture.read(0, 10)


def other_size(web: FakeWeb) -> None:
    web.contents[CONFIG.path] += b" "


def other_bytes(web: FakeWeb) -> None:
    web.contents[WEIGHTS.path] = web.contents[WEIGHTS.path][::-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_size, "config.json: the hub's file has 9 bytes, expected 8 of the lock"),
        (other_bytes, f"{WEIGHTS.path}: the hub's file has sha256 .*, expected {WEIGHTS.sha256} of the lock"),
    ],
)
def test_what_the_hub_says_of_a_file_is_checked_before_it_is_read(
    change: Callable[[FakeWeb], None], message: str
) -> None:
    fixture = Fixture()
    change(fixture.web)
    with pytest.raises(MismatchError, match=message):
        fixture.hub.check(REQUEST.files)
    assert fixture.asked("GET") == []


def test_a_mirror_may_say_nothing_of_a_file() -> None:
    fixture = Fixture()
    fixture.web.can("HEAD", HUB, Canned(302, {"Location": f"{CDN}{fixture.web.prefix}{WEIGHTS.path}"}))
    fixture.hub.check([WEIGHTS])
    fixture.read_right()


def test_the_check_is_tried_again_too() -> None:
    fixture = Fixture()
    fixture.web.can("HEAD", HUB, Canned(503), Canned(503), Canned(503))
    fixture.hub.check(REQUEST.files)
    assert len(fixture.waits) == 3


def test_nothing_secret_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    fixture = Fixture(token=TOKEN)
    fixture.web.can("GET", CDN, Canned(403), Canned(error=STALL))
    fixture.web.broken = [(10, STALL)]
    fixture.read_right()
    output = capsys.readouterr().out
    assert output.count("repack.try_failed") == 3
    assert TOKEN not in output
    assert "signature" not in output


def test_a_body_that_drips_is_given_up_and_goes_on() -> None:
    fixture = Fixture()
    request = fixture.web.request

    def dripping(method: str, url: str, *given: object, **options: object) -> urllib3.BaseHTTPResponse:
        response = request(method, url, *given, **options)  # type: ignore[arg-type]  # handed on as given
        if method == "GET" and len(fixture.asked("GET")) == 1:
            read = response.read1

            def slow(size: int, decode_content: bool | None = None) -> bytes:
                fixture.now += 20.0
                return read(min(size, 1000), decode_content=decode_content)

            response.read1 = slow  # type: ignore[method-assign, assignment]  # a body that drips
        return response

    fixture.web.request = dripping  # type: ignore[method-assign]  # a CDN with such a body
    fixture.read_right()
    assert fixture.asked("GET") == ["bytes=0-3145727", "bytes=2000-3145727"]
    assert len(fixture.waits) == 1
