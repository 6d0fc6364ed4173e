"""What is asked of the hub and what its answers become: the real huggingface_hub over answers in memory."""

from __future__ import annotations

import logging
from typing import Any

import httpx2
import pytest
from huggingface_hub import get_session

from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock import hub as hub_module
from quant_llm_tools.lock.hub import HubRepository
from quant_llm_tools.lock.selection import HubFile
from quant_llm_tools.lock.tokens import Token

COMMIT = "c0ffee" + "0" * 34
TOKEN = "hf_" + "s3cret" * 5
FILE = HubFile("f.gguf", 10, "0" * 40, "0" * 64)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/")
    monkeypatch.delenv("HF_TOKEN", raising=False)


class FakeApi:
    """Answers by path; an answer is a status and headers, JSON, or bytes of a range."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        kind = (
            "tree" if "/tree/" in request.url.path else "info" if "/api/" in request.url.path else "resolve"
        )
        answer = self.answers[kind]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, tuple):
            status, headers = answer
            return httpx2.Response(status, headers=headers, content=b"<html>secret page</html>")
        if isinstance(answer, bytes):
            stream = httpx2.ByteStream(answer)
            return httpx2.Response(206, headers={"Content-Range": "bytes 0-3/10"}, stream=stream)
        return httpx2.Response(200, json=answer)


def opened(api: FakeApi, **options: Any) -> HubRepository:
    return HubRepository(
        "owner/name", "main", sleep=lambda _: None, transport=httpx2.MockTransport(api), **options
    )


def test_revision_is_resolved_to_its_commit() -> None:
    api = FakeApi(info={"id": "owner/name", "sha": COMMIT})
    with opened(api) as repository:
        assert repository.resolve() == COMMIT
    assert str(api.requests[0].url) == "https://hub.example/api/models/owner/name/revision/main"
    assert "Authorization" not in api.requests[0].headers


def test_files_have_size_and_hash_and_folders_are_left_out() -> None:
    tree = [
        {"type": "directory", "oid": "1" * 40, "size": 0, "path": "a"},
        {"type": "file", "oid": "2" * 40, "size": 3, "path": "a/config.json"},
        {
            "type": "file",
            "oid": "3" * 40,
            "size": 10,
            "path": "f.gguf",
            "lfs": {"oid": "4" * 64, "size": 10, "pointerSize": 130},
        },
    ]
    with opened(FakeApi(tree=tree)) as repository:
        assert repository.files(COMMIT) == [
            HubFile("a/config.json", 3, "2" * 40, None),
            HubFile("f.gguf", 10, "3" * 40, "4" * 64),
        ]


@pytest.mark.parametrize(
    "changed",
    [
        {"size": -1},
        {"size": "3"},
        {"size": True},
        {"oid": "x"},
        {"lfs": {"oid": "4", "size": 3, "pointerSize": 1}},
    ],
)
def test_listing_without_size_or_hash_is_refused(changed: dict[str, Any]) -> None:
    tree = [{"type": "file", "oid": "2" * 40, "size": 3, "path": "a", **changed}]
    with opened(FakeApi(tree=tree)) as repository, pytest.raises(QuantLlmError, match="without size or hash"):
        repository.files(COMMIT)


@pytest.mark.parametrize("sha", [None, "main", "C0FFEE" + "0" * 34])
def test_answer_without_a_commit_is_refused(sha: Any) -> None:
    api = FakeApi(info={"id": "owner/name", "sha": sha})
    with opened(api) as repository, pytest.raises(QuantLlmError, match="as the commit of 'owner/name'"):
        repository.resolve()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            (401, {"X-Error-Code": "RepoNotFound"}),
            "there is no 'owner/name' on https://hub.example: check `source.hub`; "
            "if it is private, set HF_TOKEN, or name a secret in `source.token_secret`",
        ),
        (
            (404, {"X-Error-Code": "RepoNotFound"}),
            "there is no 'owner/name' on https://hub.example: check `source.hub`; "
            "if it is private, set HF_TOKEN, or name a secret in `source.token_secret`",
        ),
        (
            (404, {"X-Error-Code": "RevisionNotFound"}),
            "'owner/name' has no revision 'main' on https://hub.example: check `source.revision`",
        ),
        (
            (403, {"X-Error-Message": "Access to this resource is disabled."}),
            "https://hub.example answered 403 when asked for revision 'main' of 'owner/name': "
            "Access to this resource is disabled.",
        ),
        (
            (451, {}),
            "https://hub.example answered 451 when asked for revision 'main' of 'owner/name': "
            "Unavailable For Legal Reasons",
        ),
        (
            (503, {}),
            "https://hub.example did not give revision 'main' of 'owner/name': it answered 503, 5 times",
        ),
        (
            (429, {"Retry-After": "300"}),
            "https://hub.example did not give revision 'main' of 'owner/name': it answered 429 "
            "and wants to be asked again in 300 s",
        ),
    ],
)
def test_error_answer_is_one_sentence(answer: tuple[int, dict[str, str]], sentence: str) -> None:
    with opened(FakeApi(info=answer)) as repository, pytest.raises(QuantLlmError) as error:
        repository.resolve()
    assert str(error.value) == sentence


@pytest.mark.parametrize("answer", [(200, {"Content-Type": "text/html"}), [], {}, "text", 7])
def test_page_of_a_portal_is_told_from_a_hub(answer: Any) -> None:
    with (
        opened(FakeApi(info=answer)) as repository,
        pytest.raises(QuantLlmError, match=r"no model hub does.*HF_END"),
    ):
        repository.resolve()


def test_listing_that_fails_is_asked_for_five_times_and_no_more() -> None:
    api = FakeApi(tree=(503, {}))
    with (
        opened(api) as repository,
        pytest.raises(QuantLlmError, match="did not give the list of files at c0ffee"),
    ):
        repository.files(COMMIT)
    assert len(api.requests) == 5


def gated(request: httpx2.Request) -> Any:
    headers = {"X-Error-Code": "GatedRepo"}
    match request.headers.get("Authorization"):
        case None:
            return (401, headers)
        case authorization if authorization == f"Bearer {TOKEN}":
            return b"GGUF"
        case "Bearer not-a-token":
            return (401, {"X-Error-Message": "Invalid credentials in Authorization header"})
    return (403, headers)


def test_gated_repository_without_token_says_what_to_do() -> None:
    with opened(FakeApi(resolve=gated)) as repository, pytest.raises(QuantLlmError) as error:
        repository.read(COMMIT, FILE, 0, 4)
    assert str(error.value) == (
        "'owner/name' is gated: accept its conditions on https://hub.example/owner/name, then set HF_TOKEN, "
        "or name a secret in `source.token_secret`"
    )


def test_token_of_the_environment_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", f" {TOKEN}\n")
    with opened(FakeApi(resolve=gated)) as repository:
        assert repository.read(COMMIT, FILE, 0, 4) == b"GGUF"


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (
            "hf_other",
            "'owner/name' is gated and HF_TOKEN has no access: accept its conditions on https://hub",
        ),
        ("not-a-token", "refuses the token of HF_TOKEN: Invalid credentials"),
    ],
)
def test_token_that_does_not_open_it_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, token: str, message: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with opened(FakeApi(resolve=gated)) as repository, pytest.raises(QuantLlmError, match=message) as error:
        repository.read(COMMIT, FILE, 0, 4)
    assert token not in str(error.value)


def test_named_secret_is_read_only_when_the_hub_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def secret_token(name: str, region: str) -> Token:
        asked.append((name, region))
        return Token(TOKEN, "the secret")

    monkeypatch.setattr(hub_module, "secret_token", secret_token)
    api = FakeApi(info={"id": "owner/name", "sha": COMMIT}, resolve=gated)
    with opened(api, token_secret="hf-token", region="ap-southeast-1") as repository:
        repository.resolve()
        assert asked == []
        assert repository.read(COMMIT, FILE, 0, 4) == b"GGUF"
        assert repository.read(COMMIT, FILE, 0, 4) == b"GGUF"
    assert asked == [("hf-token", "ap-southeast-1")]


def test_secret_that_cannot_be_read_is_told_with_what_it_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def secret_token(name: str, region: str) -> Token:
        raise QuantLlmError(f"the secret {name!r} in {region} could not be read: AccessDeniedException")

    monkeypatch.setattr(hub_module, "secret_token", secret_token)
    with (
        opened(FakeApi(resolve=gated), token_secret="hf-token", region="us-east-1") as repository,
        pytest.raises(
            QuantLlmError, match="gives 'owner/name' only with a token, and the secret 'hf-token' in us-"
        ),
    ):
        repository.read(COMMIT, FILE, 0, 4)


def test_server_that_echoes_the_token_does_not_get_it_into_the_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    echo = (400, {"X-Error-Message": f"no such token {TOKEN}"})
    with opened(FakeApi(info=echo)) as repository, pytest.raises(QuantLlmError) as error:
        repository.resolve()
    assert TOKEN not in str(error.value)
    assert "no such token (token)" in str(error.value)


def test_nothing_that_is_logged_holds_the_token(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    with opened(FakeApi(resolve=gated)) as repository:
        repository.read(COMMIT, FILE, 0, 4)
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(repository._token)


@pytest.mark.parametrize(
    ("fields", "secret", "told"),
    [
        ({"gated": "manual"}, None, True),
        ({"private": True}, None, True),
        ({"gated": "auto"}, "hf-token", False),
        ({"gated": False}, None, False),
    ],
)
def test_model_that_the_repack_could_not_read_is_told(fields: Any, secret: str | None, told: bool) -> None:
    notices: list[str] = []
    api = FakeApi(info={"id": "owner/name", "sha": COMMIT, **fields})
    with opened(api, token_secret=secret, notice=notices.append) as repository:
        repository.resolve()
    assert any("name `source.token_secret` too" in notice for notice in notices) is told


@pytest.mark.parametrize("endpoint", ["hub.example", "ftp://hub.example", "https://", "file:///etc"])
def test_endpoint_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(QuantLlmError, match=r"expected the address of a hub such as https://huggingface\.co"):
        opened(FakeApi())


def test_endpoint_with_a_password_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://user:pass1234@hub.example")
    with pytest.raises(QuantLlmError, match="give the token in HF_TOKEN") as error:
        opened(FakeApi())
    assert "pass1234" not in str(error.value)


def test_client_of_huggingface_hub_is_given_back() -> None:
    api = FakeApi(info={"id": "owner/name", "sha": COMMIT})
    with opened(api) as repository:
        assert get_session() is repository._client
    assert get_session() is not repository._client
