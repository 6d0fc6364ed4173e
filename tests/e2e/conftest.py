"""The embedded AWS, bootstrapped once a module, and deploys to it with the real CDK CLI."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from quant_llm.paths import ROOT
from quant_llm_tools.demo import clients, tool_environment
from quant_llm_tools.local_aws.hub.server import HubServer
from quant_llm_tools.local_aws.server import LocalAws

ACCOUNT, REGION = "123456789012", "us-east-1"


@dataclass
class Platform:
    """What a platform engineer has: the tools, an account, and a folder of agency files."""

    aws: LocalAws
    directory: Path
    bin: Path = field(default=Path(sys.executable).parent)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the product as it is run by hand."""
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=ROOT,
            env=tool_environment(self.aws.environment()) | variables,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def deploy(self, agency: str) -> subprocess.CompletedProcess[str]:
        return self.run(
            "cdk",
            "deploy",
            self.stack_name(agency),
            "--context",
            f"agencies_directory={self.agencies}",
            "--context",
            f"agency={agency}",
            "--require-approval",
            "never",
            "--output",
            str(self.directory / "cdk.out"),
        )

    @property
    def agencies(self) -> Path:
        return self.directory / "agencies"

    @staticmethod
    def stack_name(agency: str) -> str:
        return "QuantLlmStack" if agency == "default" else f"QuantLlmStack-{agency}"

    def write_agency(self, name: str, *changes: tuple[str, str]) -> Path:
        """The default agency under another name, with its lock; `changes` are made in the text."""
        text = (ROOT / "agencies" / "default.yaml").read_text().replace("agency: default", f"agency: {name}")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = self.agencies / f"{name}.yaml"
        path.write_text(text)
        lock = (ROOT / "agencies" / "default.lock.json").read_text()
        path.with_suffix(".lock.json").write_text(lock.replace('"agency": "default"', f'"agency": "{name}"'))
        return path

    def client(self, service: str) -> Any:
        session: Any = clients(self.aws.environment())
        return session.client(service, endpoint_url=self.aws.endpoint_url)

    def stack(self, agency: str) -> dict[str, Any]:
        stacks = self.client("cloudformation").describe_stacks(StackName=self.stack_name(agency))["Stacks"]
        first: dict[str, Any] = stacks[0]
        return first

    def events(self, agency: str) -> list[dict[str, Any]]:
        """All events of the agency's stack, the newest first."""
        pages = self.client("cloudformation").get_paginator("describe_stack_events")
        return [
            event
            for page in pages.paginate(StackName=self.stack_name(agency))
            for event in page["StackEvents"]
        ]

    def outputs(self, agency: str) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self.stack(agency)["Outputs"]}


@contextmanager
def bootstrapped(directory: Path, hub: HubServer | None = None) -> Iterator[Platform]:
    """An account in which nothing is deployed yet; what the tools write goes below `directory`."""
    (directory / "agencies").mkdir()
    with LocalAws(hub=hub) as aws:
        platform = Platform(aws, directory)
        bootstrap = platform.run(
            "cdk", "bootstrap", f"aws://{ACCOUNT}/{REGION}", "--output", str(directory / "cdk.out")
        )
        assert bootstrap.returncode == 0, bootstrap.stderr
        yield platform


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with bootstrapped(tmp_path_factory.mktemp("platform")) as platform:
        yield platform


@pytest.fixture(scope="module")
def deployed(platform: Platform) -> Platform:
    """The platform with the default agency deployed."""
    for name in ("default.yaml", "default.lock.json"):
        shutil.copy(ROOT / "agencies" / name, platform.agencies)
    result = platform.deploy("default")
    assert result.returncode == 0, result.stdout + result.stderr
    return platform
