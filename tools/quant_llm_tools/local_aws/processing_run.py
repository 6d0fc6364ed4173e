"""One run of a processing job: its input from S3, the entrypoint, its output to S3, all as its role."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from quant_llm.names import PROCESSING_LOG_GROUP
from quant_llm_tools.local_aws import execution_role, images
from quant_llm_tools.local_aws.cloud import Cloud
from quant_llm_tools.local_aws.hosting_container import Container
from quant_llm_tools.local_aws.hosting_errors import AccessRefused, DeploymentFailed
from quant_llm_tools.local_aws.hosting_image import read_image
from quant_llm_tools.local_aws.hosting_logs import LogStream

Json = Any

_ROOT = PurePosixPath("/opt/ml/processing")
_ROOT_VARIABLE = "QUANTISE_ROOT"  # a container has the folder itself
_BLOCK_BYTES = 1 << 20
_POLL_SECONDS = 0.05
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Outcome:
    """How a job ended, in SageMaker's words."""

    status: str
    exit_message: str | None = None
    failure_reason: str | None = None


class Run:
    """A job's folders and its container."""

    def __init__(self, cloud: Cloud, account: str, region: str, asked: Mapping[str, Json]) -> None:
        self._cloud = cloud
        self._asked = asked
        self._region = region
        self._folder = cloud.work_dir / "processing" / asked["ProcessingJobName"]
        self._stopping = threading.Event()
        stream = f"{asked['ProcessingJobName']}/algo-1-{int(time.time())}"
        self._log = LogStream(account=account, region=region, group=PROCESSING_LOG_GROUP, stream=stream)

    def stop(self) -> None:
        """End the container, if it runs or is about to."""
        self._stopping.set()

    def work(self) -> Outcome:
        """Everything from the download to the upload; what goes wrong is in the outcome."""
        try:
            for one in self._asked.get("ProcessingInputs", []):
                self._download(one["S3Input"])
            for one in self._outputs():
                self._local(one["LocalPath"]).mkdir(parents=True, exist_ok=True)
            status, ending = self._contain()
            if status == "Completed":
                for one in self._outputs():
                    self._upload(one)
            message = self._folder / "ml" / "output" / "message"
            said = message.read_text(encoding="utf-8") if message.exists() else None
            reason = f"AlgorithmError: {ending}" if status == "Failed" else None
            return Outcome(status, said, reason)
        except (AccessRefused, DeploymentFailed, BotoCoreError, ClientError, OSError) as error:
            return Outcome("Failed", None, f"ClientError: {error}")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _contain(self) -> tuple[str, str]:
        image = images.resolve(self._asked["AppSpecification"]["ImageUri"])
        if image is None:
            raise DeploymentFailed(
                f"The image '{self._asked['AppSpecification']['ImageUri']}' does not exist, "
                "or it was not built by the embedded AWS."
            )
        execution_role.pull(self._client("ecr"), image)
        configuration = read_image(image.context)
        packages = sorted(str(folder) for folder in image.context.iterdir() if folder.is_dir())
        environment = {
            **configuration.environment,
            **self._asked.get("Environment", {}),
            "PATH": os.environ.get("PATH", os.defpath),  # the tools of this machine, if it has them
            "PYTHONPATH": os.pathsep.join(packages),
            _ROOT_VARIABLE: str(self._local(str(_ROOT))),
        }
        # Variables in the Dockerfile are replaced by the build arguments' defaults, the method's among them.
        environment.pop("QUANTISE_METHOD", None)
        command = [
            sys.executable if word in ("python", "python3") else word for word in configuration.entrypoint
        ]
        home = self._folder / "home"
        home.mkdir(parents=True)
        container = Container(
            command, environment=environment, directory=home, port=None, log=self._log.write
        )
        deadline = time.monotonic() + self._asked.get("StoppingCondition", {}).get(
            "MaxRuntimeInSeconds", 86_400
        )
        while container.running:
            late = time.monotonic() > deadline
            if late or self._cloud.stopping.is_set() or self._stopping.wait(_POLL_SECONDS):
                container.stop(0 if self._cloud.stopping.is_set() else _STOP_SECONDS)
                return "Stopped", "MaxRuntimeExceeded" if late else "stopped"
        ending = container.wait()
        return ("Completed" if ending.startswith("Container exited with code 0:") else "Failed"), ending

    def _client(self, service: str) -> Any:
        return execution_role.client(self._cloud, service, self._region, self._asked["RoleArn"])

    def _outputs(self) -> list[Json]:
        return [one["S3Output"] for one in self._asked.get("ProcessingOutputConfig", {}).get("Outputs", [])]

    def _local(self, path: str) -> Path:
        inside = PurePosixPath(path)
        if not inside.is_relative_to(_ROOT) or ".." in inside.parts:
            raise DeploymentFailed(f"LocalPath must be under {_ROOT}, got {path}")
        local: Path = self._folder / "ml" / "processing" / inside.relative_to(_ROOT)
        return local

    def _download(self, source: Mapping[str, Json]) -> None:
        """S3Prefix: every object whose key begins so, by the rest of its key."""
        address = urlsplit(source["S3Uri"])
        bucket, prefix = address.netloc, address.path.lstrip("/").rstrip("/") + "/"
        folder = self._local(source["LocalPath"])
        s3 = self._client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        if not keys:
            raise DeploymentFailed(f'No S3 objects found under S3 URL "{source["S3Uri"]}"')
        for key in keys:
            path = folder / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not download_file: it begins with a HEAD, whose refusal has no body to say why.
            body = s3.get_object(Bucket=bucket, Key=key)["Body"]
            with contextlib.closing(body), path.open("wb") as file:
                shutil.copyfileobj(body, file, _BLOCK_BYTES)

    def _upload(self, output: Mapping[str, Json]) -> None:
        address = urlsplit(output["S3Uri"])
        prefix = address.path.strip("/")
        folder = self._local(output["LocalPath"])
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                self._client("s3").upload_file(str(path), address.netloc, f"{prefix}/{name}")
