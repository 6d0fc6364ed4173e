"""The hub as a function from request to response: routes, access, errors, redirects. No sockets here.

A file in LFS is a 302 to a signed URL of the CDN, any other a 307 to the resolve cache on the hub's own host,
as on https://huggingface.co; both have X-Repo-Commit, X-Linked-Size and X-Linked-ETag.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, quote, unquote, urlencode

from quant_llm_tools.local_aws.hub import api
from quant_llm_tools.local_aws.hub.messages import (
    Request,
    Response,
    bytes_response,
    content_response,
    json_response,
    matches,
    text_response,
)
from quant_llm_tools.local_aws.hub.repository import Repository, RepositoryFile
from quant_llm_tools.local_aws.hub.signing import UrlSigner

# An account that may read gated repositories. Any other `hf_…` token is an account that may not.
TOKEN_WITH_ACCESS = "hf_StandInTokenThatMayReadGatedRepositories"  # noqa: S105 - opens the stand-in alone

_SHORTEST_COMPRESSED = 1024
_TEXT_SUFFIXES = (".json", ".md", ".txt", ".gitattributes")


class HubError(Exception):
    """An error as the hub words it; clients tell errors apart by `code` (X-Error-Code), not by status."""

    def __init__(self, status: int, code: str | None, message: str, commit: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.commit = status, code, message, commit

    def response(self) -> Response:
        """Code and message in headers, the message as JSON as well."""
        headers = {"X-Error-Message": self.message}
        if self.code:
            headers["X-Error-Code"] = self.code
        if self.commit:
            headers["X-Repo-Commit"] = self.commit
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Bearer realm="Authentication required", charset="UTF-8"'
        return json_response({"error": self.message}, headers, self.status)


@dataclass(frozen=True)
class Hub:
    """All repositories, behind the hub's address `url` and the CDN's address `cdn_url`."""

    repositories: Sequence[Repository]
    url: str
    cdn_url: str
    signer: UrlSigner
    page_size: int

    def answer(self, request: Request) -> Response:
        """The response to any request; errors are responses too."""
        try:
            return self._route(request)
        except HubError as error:
            return error.response()

    def _route(self, request: Request) -> Response:
        match request.raw_path.strip("/").split("/"):
            case ["cdn", owner, name, commit, *path]:
                return self._cdn(request, f"{owner}/{name}", commit, _unquoted(path))
            case ["api", "resolve-cache", "models", owner, name, commit, *path]:
                return self._resolve_cache(request, f"{owner}/{name}", commit, _unquoted(path))
            case ["api", "models", owner, name]:
                return self._info(request, f"{owner}/{name}", None)
            case ["api", "models", owner, name, "revision", revision]:
                return self._info(request, f"{owner}/{name}", unquote(revision))
            case ["api", "models", owner, name, "refs"]:
                return json_response(api.refs(self._repository(request, f"{owner}/{name}", None)))
            case ["api", "models", owner, name, "tree", revision, *path]:
                return self._tree(request, f"{owner}/{name}", unquote(revision), _unquoted(path))
            case ["api", "models", owner, name, "paths-info", revision]:
                return self._paths_info(request, f"{owner}/{name}", unquote(revision))
            case [owner, name, "resolve", revision, *path]:
                return self._resolve(request, f"{owner}/{name}", unquote(revision), _unquoted(path))
        raise HubError(HTTPStatus.NOT_FOUND, None, "Sorry, we can't find the page you are looking for.")

    def _repository(self, request: Request, name: str, revision: str | None) -> Repository:
        """The repository at a revision (None: main); its files may be closed to the caller nonetheless."""
        token = request.token
        if token is not None and not token.startswith("hf_"):
            raise HubError(HTTPStatus.UNAUTHORIZED, None, "Invalid credentials in Authorization header")
        repository = next((each for each in self.repositories if each.name == name), None)
        if repository is None and token is None:
            # The hub sends no code here, and huggingface_hub takes a bare 401 for a missing repository, but
            # only on an https address, which the stand-in has not.
            raise HubError(HTTPStatus.UNAUTHORIZED, "RepoNotFound", "Invalid username or password.")
        if repository is None:
            raise HubError(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        if revision is not None and not repository.has_revision(revision):
            raise HubError(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        return repository

    def _file(
        self, request: Request, name: str, revision: str, path: str
    ) -> tuple[Repository, RepositoryFile]:
        repository = self._repository(request, name, revision)
        if repository.gated and request.token is None:
            raise HubError(
                HTTPStatus.UNAUTHORIZED,
                "GatedRepo",
                f"Access to model {name} is restricted. You must have access to it and be authenticated to"
                " access it. Please log in.",
            )
        if repository.gated and request.token != TOKEN_WITH_ACCESS:
            raise HubError(
                HTTPStatus.FORBIDDEN,
                "GatedRepo",
                f"Access to model {name} is restricted and you are not in the authorized list. Visit"
                f" {self.url}/{name} to ask for access.",
            )
        file = repository.file(path)
        if file is None:
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found", repository.commit)
        return repository, file

    def _info(self, request: Request, name: str, revision: str | None) -> Response:
        query = parse_qs(request.query)
        return json_response(
            api.model_info(
                self._repository(request, name, revision),
                blobs=_flag(query, "blobs"),
                expand=query.get("expand", []) + query.get("expand[]", []),
            )
        )

    def _tree(self, request: Request, name: str, revision: str, folder: str) -> Response:
        repository = self._repository(request, name, revision)
        query = parse_qs(request.query)
        entries = api.tree(repository, folder, recursive=_flag(query, "recursive"))
        if entries is None:
            message = f'{folder} does not exist on "{revision}"'
            raise HubError(HTTPStatus.NOT_FOUND, "EntryNotFound", message, repository.commit)
        limit = min(int(query.get("limit", [str(self.page_size)])[0]), self.page_size)
        start = int(query.get("cursor", ["0"])[0])
        headers = {"X-Repo-Commit": repository.commit}
        if start + limit < len(entries):
            following = urlencode(
                {**{key: values[0] for key, values in query.items()}, "cursor": start + limit}
            )
            headers["Link"] = f'<{self.url}{request.raw_path}?{following}>; rel="next"'
        return json_response(entries[start : start + limit], headers)

    def _paths_info(self, request: Request, name: str, revision: str) -> Response:
        """A form or JSON, as the Content-Type says."""
        repository = self._repository(request, name, revision)
        if request.headers.get_content_type() == "application/json":
            paths = json.loads(request.body)["paths"]
        else:
            paths = parse_qs(request.body.decode()).get("paths", [])
        return json_response(api.paths_info(repository, paths))

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Response:
        repository, file = self._file(request, name, revision, path)
        headers = {
            "Accept-Ranges": "bytes",
            "X-Repo-Commit": repository.commit,
            "X-Linked-Size": str(file.size),
            "X-Linked-ETag": f'"{file.etag}"',
            "ETag": f'"{file.etag}"',
            # The quota is on every answer, not only on a 429.
            "RateLimit": '"resolvers";r=2999;t=300',
            "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300',
        }
        if matches(request.headers.get("If-None-Match"), file.etag):
            return bytes_response(HTTPStatus.NOT_MODIFIED, headers, b"")
        place = f"{name}/{repository.commit}/{path}"
        if file.lfs:
            status = HTTPStatus.FOUND
            location = f"{self.cdn_url}{quote(f'/cdn/{place}')}?{self.signer.sign(f'/cdn/{place}')}"
        else:
            status = HTTPStatus.TEMPORARY_REDIRECT
            cache_key = urlencode({request.path: "", "etag": f'"{file.etag}"'})
            location = f"{quote(f'/api/resolve-cache/models/{place}')}?{cache_key}"
        return text_response(
            status, {**headers, "Location": location}, f"{status.phrase}. Redirecting to {location}"
        )

    def _resolve_cache(self, request: Request, name: str, commit: str, path: str) -> Response:
        """Longer texts are compressed for who accepts it, without a Content-Length, as the hub does."""
        _, file = self._file(request, name, commit, path)
        headers = {"Content-Type": _content_type(path), "X-Repo-Commit": commit}
        response = content_response(request, file.content, file.etag, headers)
        compressible = (
            response.status == HTTPStatus.OK
            and path.endswith(_TEXT_SUFFIXES)
            and file.size >= _SHORTEST_COMPRESSED
        )
        if not compressible or "gzip" not in request.headers.get("Accept-Encoding", ""):
            return response
        packed = gzip.compress(b"".join(file.content.chunks(0, file.size)))
        packed_headers = {**response.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(
            response.status, packed_headers, bytes_response(response.status, {}, packed).body, chunked=True
        )

    def _cdn(self, request: Request, name: str, commit: str, path: str) -> Response:
        """A signature instead of a token; both are a 400, as on S3, so a client that leaks tokens fails."""
        if request.headers.get("Authorization"):
            return _s3_error(
                HTTPStatus.BAD_REQUEST, "InvalidArgument", "Only one auth mechanism allowed at a time"
            )
        refusal = self.signer.refusal(request.path, request.query)
        if refusal:
            return _s3_error(HTTPStatus.FORBIDDEN, "AccessDenied", refusal)
        repository = next(each for each in self.repositories if (each.name, each.commit) == (name, commit))
        file = next(each for each in repository.files if each.path == path)
        # The CDN's ETag is of its own making, so a client that takes it for the file's hash is found out.
        etag = hashlib.sha256(file.etag.encode()).hexdigest()
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'inline; filename="{file.path.rpartition("/")[2]}";',
        }
        return content_response(request, file.content, etag, headers)


def _unquoted(segments: Sequence[str]) -> str:
    return unquote("/".join(segments))


def _flag(query: dict[str, list[str]], name: str) -> bool:
    return query.get(name, ["false"])[0].lower() in ("true", "1")


def _content_type(path: str) -> str:
    return "application/json" if path.endswith(".json") else "text/plain; charset=utf-8"


def _s3_error(status: int, code: str, message: str) -> Response:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return bytes_response(status, {"Content-Type": "application/xml"}, body.encode())
