"""What the parts of one running embedded AWS share: its addresses, clients to itself, and an orderly end."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

# moto's own; requests signed with unknown keys belong to it.
DEFAULT_ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"

ACCESS_KEY = "embedded-aws"
SECRET_KEY = "embedded-aws"  # noqa: S105 - opens nothing: the server listens on loopback and checks no signature

# One try, no proxy: the server is this process.
_CONFIG = Config(
    retries={"total_max_attempts": 1, "mode": "standard"},
    proxies={},
    connect_timeout=10,
    read_timeout=3600,
    max_pool_connections=50,
    s3={"addressing_style": "path"},
    parameter_validation=True,
)

WORK_PREFIX = "quantllm-local-"

Seam = tuple[Any, str, Any]
"""A place where moto is replaced: the owner, the attribute's name, what stands there instead."""


class Cloud:
    """One embedded AWS: `endpoint_url`, `hub_url`, and `work_dir` for files that live as long as it does.

    `work_dir` is made below `parent`, the system's directory for temporary files if None.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.endpoint_url = ""
        self.hub_url = ""
        self.stopping = threading.Event()
        self._work = tempfile.TemporaryDirectory(prefix=WORK_PREFIX, dir=parent, ignore_cleanup_errors=True)
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._client_lock = threading.Lock()
        self._session = _session()
        self._threads: list[threading.Thread] = []
        self._thread_lock = threading.Lock()

    @property
    def work_dir(self) -> Path:
        """A directory that is removed when the embedded AWS stops."""
        return Path(self._work.name)

    def environment(self, region: str = DEFAULT_REGION) -> dict[str, str]:
        """The variables that point any AWS or Hugging Face tool at this embedded AWS and hub stand-in."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HF_ENDPOINT": self.hub_url,
            # Else the SageMaker SDK asks IAM to simulate the role's policies, which nobody does here.
            "SAGEMAKER_VALIDATE_ROLE": "false",
        }

    def client(self, service: Any, region: str, account: str = DEFAULT_ACCOUNT) -> Any:
        """A boto3 client of this embedded AWS, acting in an account's name; made once and kept."""
        key = (service, region, account)
        with self._client_lock:
            if key not in self._clients:
                client = self._make_client(service, region, ACCESS_KEY, SECRET_KEY)
                client.meta.events.register("before-sign.*.*", _as_account(account))
                self._clients[key] = client
            return self._clients[key]

    def client_of_role(self, service: Any, region: str, role_arn: str, *, session: str) -> Any:
        """A client in a role's session of that name; made once and kept.

        Each request is decided by the policies that the role has then. Whether the service may assume it is
        the caller's to check.
        """
        key = (service, region, role_arn)
        if key not in self._clients:
            sts = self.client("sts", region, role_arn.split(":")[4])
            assumed = sts.assume_role(RoleArn=role_arn, RoleSessionName=session)["Credentials"]
            names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
            with self._client_lock:
                if key not in self._clients:  # nobody else has been faster
                    self._clients[key] = self._make_client(service, region, *map(assumed.get, names))
        return self._clients[key]

    def _make_client(self, service: Any, region: str, key: str, secret: str, token: str | None = None) -> Any:
        return self._session.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=_CONFIG,
        )

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Do something in the background; `stop` waits for it, so it must heed `stopping`."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        with self._thread_lock:
            self._threads = [running for running in self._threads if running.is_alive()] + [thread]
            thread.start()

    def stop(self) -> None:
        """Tell background work to end, and wait for it."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def close(self) -> None:
        """Close the clients and remove the files."""
        for client in self._clients.values():
            client.close()
        self._work.cleanup()


def _as_account(account: str) -> Callable[..., None]:
    def name_account(request: Any, **_: object) -> None:
        request.headers["x-moto-account-id"] = account

    return name_account


def _session() -> boto3.session.Session:
    """A session that reads neither the user's profile nor their configuration files."""
    nothing = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
        "ca_bundle": (None, None, None, None),
    }
    return boto3.session.Session(botocore_session=botocore.session.Session(session_vars=nothing))
