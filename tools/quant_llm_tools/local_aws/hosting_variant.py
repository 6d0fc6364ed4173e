"""A production variant that is hosted: its model on disk, its container, and what to do when that dies."""

from __future__ import annotations

import os
import re
import secrets
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quant_llm_tools.local_aws import execution_role, images
from quant_llm_tools.local_aws.hosting_container import Container
from quant_llm_tools.local_aws.hosting_errors import AccessRefused, DeploymentFailed
from quant_llm_tools.local_aws.hosting_image import ImageConfiguration, read_image
from quant_llm_tools.local_aws.hosting_logs import LogStream
from quant_llm_tools.local_aws.hosting_model_data import fetch_model_data, remove_model_data
from quant_llm_tools.local_aws.hosting_settings import HostingSettings
from quant_llm_tools.local_aws.reserved_port import ReservedPort

# What SageMaker waits when the endpoint configuration doesn't say, in seconds.
_DOWNLOAD_TIMEOUT = 3600
_STARTUP_TIMEOUT = 480

_MOUNT = "/opt/ml/model"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class HostedVariant:
    """One deployment of a production variant; an update of the endpoint makes a new one.

    `definition` is the Model's container definition, `role` the ARN of its execution role, `variant` the
    entry in the endpoint configuration; `log_group` is that of the endpoint unless given.
    `unavailable` says why no request can be answered at the moment, or is None.
    """

    def __init__(
        self,
        *,
        definition: Mapping[str, Any],
        role: str,
        variant: Mapping[str, Any],
        account: str,
        region: str,
        endpoint: str,
        settings: HostingSettings,
        log_group: str | None = None,
    ) -> None:
        self.name: str = variant["VariantName"]
        self.image_uri: str = definition["Image"]
        self.resolved_image: str | None = None  # by digest, known when the image has been found
        self.unavailable: str | None = "the container has not been healthy yet"
        instance = f"i-{secrets.token_hex(9)[1:]}"
        self.directory = settings.endpoints_directory / endpoint / instance
        self.log = LogStream(
            account=account,
            region=region,
            group=log_group or f"/aws/sagemaker/Endpoints/{endpoint}",
            stream=f"{self.name}/{instance}",
        )
        self.role = role
        self._definition = definition
        self._variant = variant
        self._region = region
        self._settings = settings
        # Short, because the path of a Unix socket has room for about a hundred characters.
        self._scratch = tempfile.TemporaryDirectory(prefix="quantllm-", ignore_cleanup_errors=True)
        self._container: Container | None = None
        self._changing = threading.Lock()
        # Held while files are written or removed, so that nobody removes what another thread still writes.
        self._filling = threading.Lock()
        self._stopping = threading.Event()

    @property
    def port(self) -> int:
        """The port of loopback on which the container listens, 0 before there is one; restarts change it."""
        return self._container.port if self._container else 0

    def deploy(self) -> None:
        """Fetch the model, start the container and wait until it is healthy. Raises DeploymentFailed."""
        image = self._find_image()
        configuration = read_image(image.context)
        with self._filling:
            if self._stopping.is_set():
                raise DeploymentFailed("The endpoint is being deleted.")
            (self.directory / "home").mkdir(parents=True)
            self._fetch_model()
            self._pull(image)
        if self._variant.get("InitialInstanceCount", 1) > 1:
            self.log.write("The embedded AWS runs one container, whatever the instance count.")
        self._start(image, configuration)
        keeper = threading.Thread(target=self._keep_running, args=(image, configuration), daemon=True)
        keeper.start()

    def _find_image(self) -> images.LocalImage:
        image = images.resolve(self.image_uri)
        if image is None:
            raise DeploymentFailed(
                f"The image '{self.image_uri}' does not exist, or it was not built by the embedded AWS."
            )
        repository = re.sub(r"(@.*|:[^/]*)$", "", self.image_uri)
        self.resolved_image = f"{repository}@{image.digest}"
        return image

    def _fetch_model(self) -> None:
        model = self.directory / "model"
        url = self._model_data_url()
        if url is None:
            model.mkdir()
            return
        timeout = self._variant.get("ModelDataDownloadTimeoutInSeconds", _DOWNLOAD_TIMEOUT)
        try:
            s3 = self._settings.client("s3", self._region, self.role)
            fetch_model_data(s3, url, model, timeout=timeout, cancelled=self._stopping)
        except AccessRefused as refused:
            raise DeploymentFailed(
                f'Could not access model data at {url}. Please ensure that the role "{self.role}" exists and '
                'that its trust relationship policy allows the action "sts:AssumeRole" for the service '
                'principal "sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" '
                f"permissions and that the object is located in {self._region}. If your Model uses multiple "
                'models or uncompressed models, please ensure that the role has "s3:ListBucket" permission. '
                f"({refused})"
            ) from refused
        self.log.write(f"Fetched {url} into {model}")

    def _pull(self, image: images.LocalImage) -> None:
        try:
            execution_role.pull(self._settings.client("ecr", self._region, self.role), image)
        except AccessRefused as refused:
            raise DeploymentFailed(
                "Please make sure all images included in the model for the production variant "
                f"{self.name} exist, and that the execution role used to create the model has permissions to "
                f"access them. ({refused})"
            ) from refused

    def _model_data_url(self) -> str | None:
        """Where the model's data is, which ends in a slash when it is a prefix; None for a model without."""
        if (source := self._definition.get("ModelDataSource")) is None:
            return self._definition.get("ModelDataUrl")
        data = source["S3DataSource"]
        url, kind, compression = data["S3Uri"], data["S3DataType"], data["CompressionType"]
        if (kind, compression, url.endswith("/")) not in (
            ("S3Prefix", "None", True),
            ("S3Object", "Gzip", False),
        ):
            raise DeploymentFailed(
                "The embedded AWS reads the S3DataType S3Prefix with the CompressionType None and an S3Uri "
                "that ends in a slash, or S3Object with Gzip; "
                f"the model has {kind} with {compression}: {url}."
            )
        return str(url)

    def _start(self, image: images.LocalImage, configuration: ImageConfiguration) -> None:
        port = ReservedPort()
        command = [
            sys.executable if word in ("python", "python3") else word for word in configuration.entrypoint
        ]
        environment = container_environment(
            image=configuration.environment,
            model=self._definition.get("Environment") or {},
            directory=self.directory,
            scratch=Path(self._scratch.name),
            packages=sorted(folder for folder in image.context.iterdir() if folder.is_dir()),
            programs=self._settings.programs_directory,
            region=self._region,
            port=port.number,
        )
        with self._changing:
            if self._stopping.is_set():
                port.release()
                raise DeploymentFailed("The endpoint is being deleted.")
            self._container = container = Container(
                [*command, "serve"],
                environment=environment,
                directory=self.directory / "home",
                port=port,
                log=self.log.write,
            )
        timeout = self._variant.get("ContainerStartupHealthCheckTimeoutInSeconds", _STARTUP_TIMEOUT)
        container.wait_until_healthy(variant=self.name, timeout=timeout)
        self.unavailable = None

    def _keep_running(self, image: images.LocalImage, configuration: ImageConfiguration) -> None:
        """Start the container again when it dies, as often as the settings say."""
        for pause in self._settings.restart_seconds:
            if not self._died():
                return
            self.log.write(f"{self.unavailable}. It is started again in {pause:g} seconds.")
            if self._stopping.wait(pause):
                return
            try:
                self._start(image, configuration)
            except DeploymentFailed as error:
                self.unavailable = str(error)
        if self._died():
            self.unavailable = f"{self.unavailable}. It is not started again: update or delete the endpoint."
            self.log.write(self.unavailable)

    def _died(self) -> bool:
        """Block until the container ends; True if nobody had asked it to."""
        assert self._container is not None  # noqa: S101 - for the type checker: deploy has started it
        ending = self._container.wait()
        if self._stopping.is_set():
            return False
        self.unavailable = ending
        return True

    def stop(self, *, drain: bool = True) -> None:
        """End the container, with time to `drain` running requests, and remove model and scratch files."""
        self._stopping.set()
        self.unavailable = "the endpoint has no running container"
        with self._changing:
            if self._container is not None:
                self._container.stop(self._settings.stop_seconds if drain else 0)
        with self._filling:
            remove_model_data(self.directory)
            self._scratch.cleanup()


def container_environment(
    *,
    image: Mapping[str, str],
    model: Mapping[str, str],
    directory: Path,
    scratch: Path,
    packages: Sequence[Path],
    programs: Path,
    region: str,
    port: int,
) -> dict[str, str]:
    """All that a container's process gets: nothing of the embedded AWS's own environment reaches it.

    The Model's variables win over the image's, and what SageMaker and this machine dictate over both.
    `directory` holds `model` and `home`, `scratch` is for temporary files, `packages` have the code of the
    entrypoint and of an engine in Python, and `programs` the `llama-server`.
    """
    model_directory = str(directory / "model")
    return {
        # Two cores, other work beside it: llama.cpp with more threads than idle cores falls to a fraction.
        "LLAMA_ARG_THREADS": "1",
        **image,
        # A process has no mounts of its own: a path in the container's model directory leads to this one.
        **{name: re.sub(rf"^{_MOUNT}(?=/|$)", lambda _: model_directory, model[name]) for name in model},
        "AWS_REGION": region,
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SM_MODEL_DIR": model_directory,
        # A container's port is its own; this one is the machine's, so nobody outside may reach it.
        "SERVING_BIND_ADDRESS": "127.0.0.1",
        "HOME": str(directory / "home"),
        "TMPDIR": str(scratch),
        "PATH": os.pathsep.join((str(programs), str(Path(sys.executable).parent), _SYSTEM_PATH)),
        "PYTHONPATH": os.pathsep.join(map(str, packages)),
        "PYTHONDONTWRITEBYTECODE": "1",  # an image is not written to
        "PYTHONUNBUFFERED": "1",
    }
