"""The model hub as `quantllm lock` needs it: one repository at one revision, by huggingface_hub.

HF_ENDPOINT names another hub (a mirror, the stand-in of the embedded AWS). Nothing is cached on disk, and the
token of `hf auth login` is not used: a lock must come out the same for everybody.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Protocol, TypeVar

import httpx2
from huggingface_hub import HfApi, RepoFile, constants, hf_hub_url, set_client_factory
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils._http import default_client_factory

from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.client import HubClient, HubFault
from quant_llm_tools.lock.selection import HubFile
from quant_llm_tools.lock.tokens import Token, environment_token, secret_token

DEFAULT_ENDPOINT = "https://huggingface.co"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST_SERVER_MESSAGE = 300

_Answer = TypeVar("_Answer")


class ModelRepository(Protocol):
    """What locking a model needs of a hub."""

    def resolve(self) -> str:
        """The commit, 40 hexadecimal digits, that the revision stands for now."""
        ...

    def files(self, commit: str) -> list[HubFile]:
        """All files at a commit."""
        ...

    def read(self, commit: str, file: HubFile, start: int, end: int) -> bytes:
        """The bytes of a file from `start` to `end`, which is not included."""
        ...


class HubRepository:
    """A repository of the hub at HF_ENDPOINT, as a context manager.

    One is open at a time, since huggingface_hub has one client for all. The token is HF_TOKEN; without it,
    the secret `token_secret` is read from AWS when the hub refuses. Every error is a QuantLlmError that says
    in one sentence what was asked and what to do.
    """

    def __init__(
        self,
        name: str,
        revision: str,
        *,
        token_secret: str | None = None,
        region: str = "",
        notice: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._name = name
        self._revision = revision
        self._token_secret = token_secret
        self._region = region
        self._notice = notice
        self._endpoint = _endpoint()
        self._token = environment_token()
        self._client = HubClient(self._endpoint, notice=notice, sleep=sleep, transport=transport)
        self._api = HfApi(endpoint=self._endpoint, token=False, library_name="quantllm")

    def __enter__(self) -> HubRepository:
        """Put this repository's client under huggingface_hub."""
        # Telemetry asks the hub for a list of coding agents, and keeps it in the home folder.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        set_client_factory(lambda: self._client)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections and give huggingface_hub its own client back."""
        set_client_factory(default_client_factory)
        self._client.close()

    def resolve(self) -> str:
        """The commit that the revision stands for now."""
        info = self._ask(
            f"revision {self._revision!r}",
            lambda token: self._api.model_info(self._name, revision=self._revision, token=token),
        )
        if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):
            raise QuantLlmError(f"{self._endpoint} gives {info.sha!r} as the commit of {self._name!r}")
        if (info.gated or info.private) and not self._token_secret:
            # HF_TOKEN is enough to lock, but whoever deploys does not give it to the function in the cloud.
            self._notice(f"{self._name!r} needs a token: name `source.token_secret` too, for the repack")
        return info.sha

    def files(self, commit: str) -> list[HubFile]:
        """All files at a commit."""
        listing = self._ask(
            f"the list of files at {commit[:12]}",
            lambda token: list(
                self._api.list_repo_tree(self._name, recursive=True, revision=commit, token=token)
            ),
        )
        return [self._file(entry) for entry in listing if isinstance(entry, RepoFile)]

    def read(self, commit: str, file: HubFile, start: int, end: int) -> bytes:
        """Bytes of a file, by a range request."""
        url = hf_hub_url(self._name, file.path, revision=commit, endpoint=self._endpoint)
        return self._ask(
            f"{file.path!r} at {commit[:12]}",
            lambda token: self._client.read_range(url, start, end, file.size, token),
        )

    def _file(self, entry: RepoFile) -> HubFile:
        sha256 = entry.lfs.sha256 if entry.lfs else None
        if (
            not isinstance(entry.path, str)
            or type(entry.size) is not int
            or entry.size < 0
            or not _COMMIT.fullmatch(str(entry.blob_id))
            or not (sha256 is None or _SHA256.fullmatch(str(sha256)))
        ):
            raise QuantLlmError(
                f"{self._endpoint} lists a file of {self._name!r} without size or hash: {entry!r}"
            )
        return HubFile(entry.path, entry.size, entry.blob_id, sha256)

    def _ask(self, what: str, call: Callable[[str | Literal[False]], _Answer]) -> _Answer:
        """Call with the token, the secret's if the hub wants one; faults become sentences."""
        try:
            return call(self._token.value if self._token else False)
        except HfHubHTTPError as error:
            if error.response.status_code in (401, 403) and self._token is None and self._token_secret:
                self._token = self._secret_token(self._token_secret)
                return self._ask(what, call)
            raise QuantLlmError(self._without_token(self._explain(error.response, what))) from None
        except HubFault as error:
            raise QuantLlmError(f"{self._endpoint} did not give {what} of {self._name!r}: {error}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = self._without_token(f"{type(error).__name__}: {error}")
            raise QuantLlmError(
                f"{self._endpoint} could not be asked for {what} of {self._name!r}: {reason}"
            ) from None
        except (ValueError, KeyError, TypeError):
            # What huggingface_hub raises at an answer that is not a hub's: a portal's page, another API.
            raise QuantLlmError(
                f"{self._endpoint} answers as no model hub does, asked for {what} of {self._name!r}: "
                "check HF_ENDPOINT, and whether a proxy wants a log-in"
            ) from None

    def _secret_token(self, name: str) -> Token:
        try:
            return secret_token(name, self._region)
        except QuantLlmError as error:
            raise QuantLlmError(
                f"{self._endpoint} gives {self._name!r} only with a token, and {error}; "
                "mend the secret, or set HF_TOKEN"
            ) from None

    def _explain(self, response: httpx2.Response, what: str) -> str:
        """One sentence for an error answer: what was asked, why not, what to do."""
        status, code = response.status_code, response.headers.get("X-Error-Code", "")
        said = response.headers.get("X-Error-Message") or response.reason_phrase
        said = "".join(filter(str.isprintable, said))[:_LONGEST_SERVER_MESSAGE]
        page = f"{self._endpoint}/{self._name}"
        remedy = "set HF_TOKEN, or name a secret in `source.token_secret`"
        if code == "GatedRepo" and self._token:
            origin = self._token.origin
            return f"{self._name!r} is gated and {origin} has no access: accept its conditions on {page}"
        if code == "GatedRepo":
            return f"{self._name!r} is gated: accept its conditions on {page}, then {remedy}"
        if code == "RevisionNotFound":
            return f"{self._name!r} has no {what} on {self._endpoint}: check `source.revision`"
        if code == "EntryNotFound":
            return f"{self._name!r} has no {what} on {self._endpoint}"
        if status == 401 and self._token and code != "RepoNotFound":
            return f"{self._endpoint} refuses the token of {self._token.origin}: {said}"
        if status in (401, 404):
            hint = "" if self._token else f"; if it is private, {remedy}"
            return f"there is no {self._name!r} on {self._endpoint}: check `source.hub`{hint}"
        return f"{self._endpoint} answered {status} when asked for {what} of {self._name!r}: {said}"

    def _without_token(self, text: str) -> str:
        return text.replace(self._token.value, "(token)") if self._token else text


def _endpoint() -> str:
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT
    try:
        url = httpx2.URL(endpoint)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise QuantLlmError(
            f"HF_ENDPOINT is {endpoint!r}, expected the address of a hub such as {DEFAULT_ENDPOINT}"
        )
    if url.userinfo:
        raise QuantLlmError("HF_ENDPOINT holds a user or password: give the token in HF_TOKEN instead")
    return endpoint
