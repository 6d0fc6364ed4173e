"""The images under podman, run as near to SageMaker's way as it goes: starters for the contract suite.

    CONTRACT_STARTER=tests.images.podman:llama_cpp python -m pytest tests/container/contract

`tools/test_images.sh` builds the images, and tells podman where they are.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.container import process
from tests.container.contract.container import Container
from tests.container.process import ROOT
from tests.integration.exllama.model_files import write_model

LLAMA_CPP = "localhost/quantllm/llama-cpp"
EXLLAMAV2 = "localhost/quantllm/exllamav2"
QUANTISE_EXL2 = "localhost/quantllm/quantise-exl2"
NETWORK = os.environ.get("QUANTLLM_IMAGES_NETWORK", "quantllm-isolated")
"""A network with no way out, as SageMaker's network isolation; suites that run at once have one each.

A bridge may change its address when a container joins or leaves: what another one says last is lost then.
"""

LOCKED_DOWN = (
    *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *("--memory=4g", "--pids-limit=512"),
)
"""As little as a container can do; the user is the one that the image names."""


class RunningContainer:
    """A container by its name."""

    name: str

    def execute(self, *command: str) -> str:
        """What a command in the container writes."""
        return podman("exec", self.name, *command)

    def kill(self) -> None:
        podman("rm", "--force", "--time", "0", self.name)


class IdleContainer(RunningContainer):
    """A container of an image, in which nothing runs but what the tests run there."""

    def __init__(self, image: str) -> None:
        self.name = f"quantllm-{secrets.token_hex(6)}"
        podman(
            *("run", "--detach", "--name", self.name, *LOCKED_DOWN, f"--network={NETWORK}"),
            *("--entrypoint=sleep", image, "infinity"),
        )


class PodmanContainer(RunningContainer, Container):
    """A container of an image that serves a model."""

    def __init__(
        self,
        image: str,
        model: Path,
        variables: Mapping[str, str],
        *,
        mounts: Sequence[str] = (),
    ) -> None:
        """Start `image` with the folder `model` as /opt/ml/model; `mounts` are more of podman's volumes."""
        self.name = f"quantllm-{secrets.token_hex(6)}"
        podman(
            *("run", "--detach", "--name", self.name, *LOCKED_DOWN, f"--network={NETWORK}"),
            *(f"--env={name}={value}" for name, value in variables.items()),
            *(f"--volume={mount}" for mount in (f"{model}:/opt/ml/model:ro", *mounts)),
            image,
            "serve",  # as SageMaker appends it
        )
        state = self._inspect()
        self.pid = state["State"]["Pid"]
        super().__init__(f"http://{state['NetworkSettings']['Networks'][NETWORK]['IPAddress']}:8080")

    def _inspect(self) -> dict[str, Any]:
        (state,) = json.loads(podman("inspect", self.name))
        return dict(state)

    @property
    def log(self) -> str:
        return podman("logs", self.name)

    def exit_code(self) -> int | None:
        state = self._inspect()["State"]
        return None if state["Running"] else int(state["ExitCode"])


def podman(*arguments: str) -> str:
    """What podman writes, both ways: a container's log is in order only together."""
    finished = subprocess.run(
        ["podman", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=120,
    )
    assert finished.returncode == 0, f"podman {arguments[0]}: {finished.stdout}"
    return finished.stdout


def run_job(image: str, folder: Path) -> tuple[int, str]:
    """Exit code and log of a processing job with `folder` as /opt/ml; it is ended after a minute."""
    finished = subprocess.run(
        [
            *("podman", "run", "--rm", *LOCKED_DOWN, "--network=none"),
            *("--timeout=60", f"--volume={folder}:/opt/ml", image),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return finished.returncode, finished.stdout


def llama_cpp(directory: Path, variables: Mapping[str, str]) -> PodmanContainer:
    """Our image of llama.cpp, with SmolLM2."""
    variables = {
        "LLAMA_ARG_CTX_SIZE": "2048",
        "LLAMA_ARG_N_PARALLEL": "2",
        "LLAMA_ARG_THREADS": "1",
        **variables,
    }
    return PodmanContainer(LLAMA_CPP, process.smollm2().parent, variables)


def exllamav2(directory: Path, variables: Mapping[str, str]) -> PodmanContainer:
    """Our image of ExLlamaV2 without its engine: the FAKE backend and a model of bytes stand in."""
    model = write_model(directory / "model" / "bytes").parent
    server = "/opt/serving"
    return PodmanContainer(
        EXLLAMAV2,
        model,
        {"FAKE_STEP_SECONDS": "0.01", **variables},
        mounts=(
            f"{ROOT / 'tests'}:{server}/tests:ro",
            f"{Path(__file__).with_name('fake_backends.py')}:{server}/quant_llm_exllama/backends.py:ro",
        ),
    )
