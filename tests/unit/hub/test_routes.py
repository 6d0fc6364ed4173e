"""The hub's answers, as values: what each status and header must be for a client to understand them."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from quant_llm_tools.local_aws.hub import TOKEN_WITH_ACCESS, Repository, RepositoryFile
from quant_llm_tools.local_aws.hub.content import BytesContent, read
from quant_llm_tools.local_aws.hub.messages import Request, Response
from quant_llm_tools.local_aws.hub.routes import Hub
from quant_llm_tools.local_aws.hub.signing import UrlSigner

COMMIT = "0123456789" * 4
WEIGHTS = bytes(range(256)) * 4
CONFIG = b'{"model_type": "llama"}' + b" " * 2000
FILES = (
    RepositoryFile("config.json", BytesContent(CONFIG)),
    RepositoryFile("weights/a b.gguf", BytesContent(WEIGHTS)),
    RepositoryFile("weights/more/b.gguf", BytesContent(b"b")),
)
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
CONFIG_ETAG = FILES[0].etag
WEIGHTS_URL = "/owner/open/resolve/main/weights/a%20b.gguf"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(clock: Clock) -> Hub:
    return Hub(
        repositories=(
            Repository("owner/open", COMMIT, FILES, tags=("v1", "refs/pr/1")),
            Repository("owner/gated", COMMIT, FILES, gated="manual"),
        ),
        url="http://localhost:1",
        cdn_url="http://127.0.0.1:1",
        signer=UrlSigner(60, clock=clock),
        page_size=1000,
    )


def send(hub: Hub, request: Request, **headers: str) -> Response:
    for name, value in headers.items():
        request.headers[name.replace("_", "-")] = value
    return hub.answer(request)


def get(hub: Hub, target: str, **headers: str) -> Response:
    return send(hub, Request("GET", target), **headers)


def data(response: Response) -> bytes:
    return read(response.body.content, response.body.start, response.body.end)


def document(response: Response) -> Any:
    assert response.status == 200, data(response)
    return json.loads(data(response))


def cdn_target(hub: Hub) -> str:
    location = urlsplit(get(hub, WEIGHTS_URL).headers["Location"])
    return f"{location.path}?{location.query}"


# Metadata


@pytest.mark.parametrize("revision", ["main", "v1", COMMIT, COMMIT[:8], "refs%2Fpr%2F1"])
def test_every_name_of_a_revision_gives_the_commit(hub: Hub, revision: str) -> None:
    assert document(get(hub, f"/api/models/owner/open/revision/{revision}"))["sha"] == COMMIT


def test_model_info_lists_files_and_with_blobs_their_hashes(hub: Hub) -> None:
    assert document(get(hub, "/api/models/owner/open"))["siblings"][1] == {"rfilename": "weights/a b.gguf"}
    assert document(get(hub, "/api/models/owner/open?blobs=True"))["siblings"][1] == {
        "rfilename": "weights/a b.gguf",
        "blobId": FILES[1].blob_id,
        "size": 1024,
        "lfs": {"sha256": SHA256, "size": 1024, "pointerSize": len(FILES[1].pointer)},
    }


def test_expand_leaves_only_what_is_asked_for(hub: Hub) -> None:
    assert set(document(get(hub, "/api/models/owner/open?expand=sha"))) == {"_id", "id", "sha"}


def test_refs_name_branches_and_tags(hub: Hub) -> None:
    refs = document(get(hub, "/api/models/owner/open/refs"))
    assert refs["branches"] == [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}]
    assert [tag["name"] for tag in refs["tags"]] == ["v1", "refs/pr/1"]


@pytest.mark.parametrize(
    ("target", "paths"),
    [
        ("tree/main", ["config.json", "weights"]),
        ("tree/main/weights", ["weights/a b.gguf", "weights/more"]),
        ("tree/main/weights%2Fmore", ["weights/more/b.gguf"]),
        (
            "tree/main?recursive=True",
            ["config.json", "weights", "weights/a b.gguf", "weights/more", "weights/more/b.gguf"],
        ),
    ],
)
def test_a_tree_has_the_entries_of_a_folder(hub: Hub, target: str, paths: list[str]) -> None:
    entries = document(get(hub, f"/api/models/owner/open/{target}"))
    assert [entry["path"] for entry in entries] == paths


def test_a_tree_entry_has_size_and_hashes_and_no_xet_hash(hub: Hub) -> None:
    entries = {each["path"]: each for each in document(get(hub, "/api/models/owner/open/tree/main/weights"))}
    assert entries["weights/a b.gguf"] == {
        "type": "file",
        "oid": FILES[1].blob_id,
        "size": 1024,
        "path": "weights/a b.gguf",
        "lfs": {"oid": SHA256, "size": 1024, "pointerSize": len(FILES[1].pointer)},
    }
    assert entries["weights/more"]["type"] == "directory"


def test_pages_of_a_tree_are_linked_and_together_complete(hub: Hub) -> None:
    target, paths = "/api/models/owner/open/tree/main?recursive=True&limit=2", []
    while target:
        response = get(hub, target)
        entries = document(response)
        assert 0 < len(entries) <= 2
        paths += [entry["path"] for entry in entries]
        link = response.headers.get("Link", "")
        assert not link or (link.startswith("<http://localhost:1/") and link.endswith('>; rel="next"'))
        target = link.partition(">")[0].removeprefix("<http://localhost:1")
    assert paths == ["config.json", "weights", "weights/a b.gguf", "weights/more", "weights/more/b.gguf"]


def test_paths_info_takes_a_form_and_json(hub: Hub) -> None:
    paths = ["config.json", "weights", "nothing"]
    target = "/api/models/owner/open/paths-info/main"
    form = send(
        hub,
        Request("POST", target, body=urlencode({"paths": paths}, doseq=True).encode()),
        Content_Type="application/x-www-form-urlencoded",
    )
    as_json = send(
        hub,
        Request("POST", target, body=json.dumps({"paths": paths}).encode()),
        Content_Type="application/json",
    )
    assert document(form) == document(as_json)
    assert [entry["type"] for entry in document(form)] == ["file", "directory"]


# Errors and access


@pytest.mark.parametrize(
    ("target", "token", "status", "code", "message"),
    [
        ("/api/models/owner/none", None, 401, "RepoNotFound", "Invalid username or password."),
        ("/api/models/owner/none", "hf_any", 404, "RepoNotFound", "Repository not found"),
        ("/owner/none/resolve/main/x", "hf_any", 404, "RepoNotFound", "Repository not found"),
        ("/api/models/owner/open/revision/dev", None, 404, "RevisionNotFound", "Invalid rev id: dev"),
        ("/owner/open/resolve/dev/config.json", None, 404, "RevisionNotFound", "Invalid rev id: dev"),
        (
            "/api/models/owner/open/tree/main/none",
            None,
            404,
            "EntryNotFound",
            'none does not exist on "main"',
        ),
        ("/owner/open/resolve/main/none", None, 404, "EntryNotFound", "Entry not found"),
        ("/api/models/owner/open", "wrong", 401, None, "Invalid credentials in Authorization header"),
        ("/nothing", None, 404, None, "Sorry, we can't find the page you are looking for."),
    ],
)
def test_errors_have_the_hub_s_codes(
    hub: Hub, target: str, token: str | None, status: int, code: str | None, message: str
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = get(hub, target, **headers)
    assert response.status == status
    assert response.headers.get("X-Error-Code") == code
    assert response.headers["X-Error-Message"] == message
    assert json.loads(data(response)) == {"error": message}


def test_a_missing_file_still_names_the_commit(hub: Hub) -> None:
    assert get(hub, "/owner/open/resolve/main/none").headers["X-Repo-Commit"] == COMMIT


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("hf_other", 403)])
def test_a_gated_repository_shows_its_metadata_and_keeps_its_files(
    hub: Hub, token: str | None, status: int
) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert document(get(hub, "/api/models/owner/gated", **headers))["gated"] == "manual"
    assert document(get(hub, "/api/models/owner/gated/tree/main", **headers))
    for target in (
        "/owner/gated/resolve/main/config.json",
        f"/api/resolve-cache/models/owner/gated/{COMMIT}/config.json",
    ):
        response = get(hub, target, **headers)
        assert response.status == status
        assert response.headers["X-Error-Code"] == "GatedRepo"


def test_a_token_with_access_opens_a_gated_repository(hub: Hub) -> None:
    authorization = {"Authorization": f"Bearer {TOKEN_WITH_ACCESS}"}
    assert get(hub, "/owner/gated/resolve/main/config.json", **authorization).status == 307


# Files


def test_a_file_in_lfs_is_a_redirect_to_a_signed_url_on_another_host(hub: Hub) -> None:
    response = get(hub, WEIGHTS_URL)
    assert response.status == 302
    assert response.headers["Location"].startswith(
        f"http://127.0.0.1:1/cdn/owner/open/{COMMIT}/weights/a%20b.gguf?Expires=1060&Signature="
    )
    assert response.headers["X-Repo-Commit"] == COMMIT
    assert response.headers["X-Linked-Size"] == "1024"
    assert response.headers["X-Linked-ETag"] == response.headers["ETag"] == f'"{SHA256}"'
    assert not [name for name in response.headers if "xet" in name.lower()]
    assert data(get(hub, cdn_target(hub))) == WEIGHTS


def test_a_small_file_is_a_relative_redirect_whose_query_matters_not(hub: Hub) -> None:
    response = get(hub, "/owner/open/resolve/main/config.json")
    assert response.status == 307
    assert response.headers["Location"].startswith(
        f"/api/resolve-cache/models/owner/open/{COMMIT}/config.json?"
    )
    assert response.headers["X-Linked-ETag"] == f'"{CONFIG_ETAG}"'
    followed = get(hub, response.headers["Location"])
    assert (followed.status, data(followed)) == (200, CONFIG)
    assert followed.headers["ETag"] == f'"{CONFIG_ETAG}"'
    assert followed.headers["X-Repo-Commit"] == COMMIT


@pytest.mark.parametrize("target", [WEIGHTS_URL, "/owner/open/resolve/main/config.json"])
def test_a_file_that_the_client_has_is_not_sent(hub: Hub, target: str) -> None:
    etag = get(hub, target).headers["ETag"]
    response = get(hub, target, If_None_Match=f'"other", W/{etag}')
    assert (response.status, len(response.body)) == (304, 0)
    assert get(hub, target, If_None_Match='"other"').status in (302, 307)


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1000-", 1000, 1024),
        ("bytes=1000-9999", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=-9999", 0, 1024),
    ],
)
def test_a_range_is_206_with_its_place_and_the_total(hub: Hub, wanted: str, start: int, end: int) -> None:
    response = get(hub, cdn_target(hub), Range=wanted)
    assert response.status == 206
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/1024"
    assert data(response) == WEIGHTS[start:end]


@pytest.mark.parametrize("wanted", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_past_the_end_is_416_with_the_total(hub: Hub, wanted: str) -> None:
    response = get(hub, cdn_target(hub), Range=wanted)
    assert response.status == 416
    assert response.headers["Content-Range"] == "bytes */1024"


@pytest.mark.parametrize("wanted", ["bytes=-", "lines=0-1", "bytes=0-1,5-6"])
def test_what_is_no_single_range_of_bytes_gives_the_whole_file(hub: Hub, wanted: str) -> None:
    response = get(hub, cdn_target(hub), Range=wanted)
    assert (response.status, data(response)) == (200, WEIGHTS)


def test_a_range_of_another_version_gives_the_whole_file(hub: Hub) -> None:
    target = cdn_target(hub)
    etag = get(hub, target).headers["ETag"]
    assert get(hub, target, Range="bytes=0-1", If_Range=etag).status == 206
    assert get(hub, target, Range="bytes=0-1", If_Range='"older"').status == 200


def test_the_cdn_s_etag_is_not_the_file_s_hash(hub: Hub) -> None:
    assert SHA256 not in get(hub, cdn_target(hub)).headers["ETag"]


def test_a_signed_url_expires(hub: Hub, clock: Clock) -> None:
    target = cdn_target(hub)
    clock.now += 61
    response = get(hub, target)
    assert response.status == 403
    assert b"<Message>Request has expired</Message>" in data(response)


def test_a_signature_is_needed_and_is_for_one_file(hub: Hub) -> None:
    target = cdn_target(hub)
    assert get(hub, target.partition("?")[0]).status == 403
    assert get(hub, target.replace("a%20b.gguf", "more/b.gguf")).status == 403


def test_a_token_sent_to_the_cdn_is_an_error(hub: Hub) -> None:
    response = get(hub, cdn_target(hub), Authorization=f"Bearer {TOKEN_WITH_ACCESS}")
    assert response.status == 400
    assert b"InvalidArgument" in data(response)


def test_long_texts_are_compressed_for_who_accepts_it(hub: Hub) -> None:
    target = f"/api/resolve-cache/models/owner/open/{COMMIT}/config.json"
    packed = get(hub, target, Accept_Encoding="gzip, deflate")
    assert packed.chunked
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(data(packed)) == CONFIG
    assert data(get(hub, target, Accept_Encoding="identity")) == CONFIG
    assert data(get(hub, target, Accept_Encoding="gzip", Range="bytes=0-4")) == CONFIG[:5]
