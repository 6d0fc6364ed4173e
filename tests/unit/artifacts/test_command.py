"""`quantllm artifacts`: what it shows, asks and removes."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quant_llm.agency import AgencyLock, DeploymentEnvironment, LockedSource, QuantiseLock
from quant_llm.errors import QuantLlmError
from quant_llm_tools.artifacts.command import Tools, list_artifacts, prune_artifacts, register
from quant_llm_tools.artifacts.inventory import ObjectVersion
from quant_llm_tools.cli import main

FIXTURES = Path(__file__).parents[2] / "fixtures" / "agencies"
MODEL, MODEL_LOCK = next(iter(AgencyLock.read(FIXTURES / "default.lock.json").models.items()))
NOW = datetime(2026, 6, 30, tzinfo=UTC)
UNUSED, SERVED, RECENT = "aa" * 32, "bb" * 32, "cc" * 32


def key(digest: str) -> str:
    return f"models/{MODEL}/{digest}/model.tar.gz"


@dataclass
class FakeCloud:
    """The account of the agency `default`: one artifact of each kind."""

    buckets: dict[str, str] = field(default_factory=lambda: {"QuantLlmStack": "weights"})
    objects: list[ObjectVersion] = field(default_factory=list)
    serving: dict[str, list[str]] = field(default_factory=dict)
    problem: str | None = None

    def __post_init__(self) -> None:
        for digest, days in {MODEL_LOCK.digest: 90, UNUSED: 60, SERVED: 60, RECENT: 2}.items():
            self.add(digest, "1", days, size=42_500_000_000)
        self.add(UNUSED, "0", 61, size=1_000_000_000)
        self.serving = {"default-old": [f"s3://weights/{key(SERVED)}"]}

    def add(self, digest: str, version_id: str, days: int, size: int) -> None:
        self.objects.append(ObjectVersion(key(digest), version_id, size, NOW - timedelta(days=days)))

    def bucket(self, stack: str) -> str | None:
        return self.buckets.get(stack)

    def versions(self, bucket: str) -> Iterable[ObjectVersion]:
        assert bucket == "weights"
        return list(self.objects)

    def served(self) -> Mapping[str, Iterable[str]]:
        return self.serving

    def delete(self, bucket: str, versions: Sequence[ObjectVersion]) -> None:
        if self.problem:
            raise QuantLlmError(self.problem)
        assert bucket == "weights"
        self.objects = [one for one in self.objects if one not in versions]

    @property
    def digests(self) -> set[str]:
        return {one.key.split("/")[2] for one in self.objects}


@dataclass
class World:
    """The command with a cloud, a clock and a person of its own."""

    cloud: FakeCloud = field(default_factory=FakeCloud)
    answer: str | None = "y"  # None: no terminal
    questions: list[str] = field(default_factory=list)
    regions: list[str] = field(default_factory=list)

    def ask(self, question: str) -> str:
        self.questions.append(question)
        assert self.answer is not None
        return self.answer

    def connect(self, environment: DeploymentEnvironment) -> FakeCloud:
        self.regions.append(environment.region)
        return self.cloud

    def run(self, *words: str) -> int:
        parser = argparse.ArgumentParser()
        register(parser.add_subparsers())
        arguments = parser.parse_args(["artifacts", *words])
        tools = Tools(self.connect, lambda: NOW, lambda: self.answer is not None, self.ask)
        action = {"list": list_artifacts, "prune": prune_artifacts}[words[0]]
        return action(arguments, tools)


ALL = {MODEL_LOCK.digest, UNUSED, SERVED, RECENT}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """With agencies/default.yaml and its lock in the current folder."""
    (tmp_path / "agencies").mkdir()
    for name in ("default.yaml", "default.lock.json"):
        shutil.copy(FIXTURES / name, tmp_path / "agencies")
    monkeypatch.chdir(tmp_path)
    return World()


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_list_shows_who_needs_each_artifact(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ("default: 4 artifacts, 171.0 GB, in s3://weights, account 123456789012 in us-east-1")
    assert [line.split() for line in lines[1:]] == [
        [MODEL, RECENT[:12], "model.tar.gz", "42.5", "GB", "2026-06-28", "recent"],
        [MODEL, UNUSED[:12], "model.tar.gz", "43.5", "GB", "2026-05-01", "unused"],
        [MODEL, SERVED[:12], "model.tar.gz", "42.5", "GB", "2026-05-01", "endpoint", "default-old"],
        [MODEL, MODEL_LOCK.digest[:12], "model.tar.gz", "42.5", "GB", "2026-04-01", "lock"],
    ]
    assert world.cloud.digests == ALL


def test_list_as_json(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.run("list", "--json", "default") == 0
    (agency,) = printed(capsys)["agencies"]
    assert {name: agency[name] for name in ("agency", "stack", "bucket")} == {
        "agency": "default",
        "stack": "QuantLlmStack",
        "bucket": "weights",
    }
    assert agency["artifacts"][2] == {
        "model": MODEL,
        "digest": SERVED,
        "format": "model.tar.gz",
        "bytes": 42_500_000_000,
        "modified": "2026-05-01T00:00:00+00:00",
        "locked": False,
        "endpoints": ["default-old"],
        "can_go": False,
    }


def test_an_agency_without_a_stack_is_no_error(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.cloud.buckets.clear()
    assert world.run("list") == 0
    assert capsys.readouterr().out == (
        "default: stack QuantLlmStack is not deployed to account 123456789012 in us-east-1\n"
    )


def test_prune_removes_all_versions_of_what_nobody_needs(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.run("prune") == 0
    assert world.cloud.digests == ALL - {UNUSED}
    assert world.questions == ["remove 1 artifact, 43.5 GB, for good? [y/N] "]
    lines = capsys.readouterr().out.splitlines()
    assert UNUSED[:12] in lines[1]
    assert lines[-1] == "43.5 GB freed"
    assert len(lines) == 3


@pytest.mark.parametrize("answer", ["", "n", "no", "yeah"])
def test_prune_removes_nothing_without_a_yes(world: World, answer: str) -> None:
    world.answer = answer
    assert world.run("prune") == 1
    assert world.cloud.digests == ALL


def test_prune_needs_a_terminal_or_yes(world: World) -> None:
    world.answer = None
    with pytest.raises(QuantLlmError, match="no terminal to ask on, expected --yes"):
        world.run("prune")
    assert world.cloud.digests == ALL
    assert world.run("prune", "--yes") == 0
    assert world.cloud.digests == ALL - {UNUSED}


def test_prune_with_json_asks_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(QuantLlmError, match="expected --yes"):
        world.run("prune", "--json")
    assert world.run("prune", "--json", "--yes") == 0
    document = printed(capsys)
    assert document["freed_bytes"] == 43_500_000_000
    assert [one["digest"] for one in document["agencies"][0]["artifacts"]] == [UNUSED]
    assert not world.questions


def test_older_than_is_the_days_that_an_artifact_is_kept(world: World) -> None:
    assert world.run("prune", "--yes", "--older-than", "60.5") == 0
    assert world.cloud.digests == ALL
    assert world.run("prune", "--yes", "--older-than", "0") == 0
    assert world.cloud.digests == {MODEL_LOCK.digest, SERVED}


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "week"])
def test_older_than_must_be_days(world: World, days: str) -> None:
    with pytest.raises(SystemExit):
        world.run("list", "--older-than", days)


def test_prune_with_nothing_to_remove_asks_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.cloud.serving["default-new"] = [f"s3://weights/{key(UNUSED)}"]
    world.answer = None
    assert world.run("prune") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing to remove"
    assert world.cloud.digests == ALL


def test_what_came_into_use_while_the_question_stood_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask_slowly(_world: World, _question: str) -> str:
        world.cloud.serving["default-new"] = [f"s3://weights/{key(UNUSED)}"]
        return "y"

    monkeypatch.setattr(World, "ask", ask_slowly)
    assert world.run("prune") == 0
    assert world.cloud.digests == ALL
    assert capsys.readouterr().out.splitlines()[-1] == "0 B freed"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("action", [("list",), ("prune", "--yes")])
@pytest.mark.parametrize(
    "break_it",
    [
        lambda: Path("agencies/default.lock.json").unlink(),
        lambda: Path("agencies/default.lock.json").write_text("{"),
        lambda: change(Path("agencies/default.lock.json"), '"agency": "default"', '"agency": "other"'),
        lambda: change(Path("agencies/default.yaml"), f"name: {MODEL}", "name: another"),
        lambda: change(Path("agencies/default.yaml"), "Q4_1.gguf", "Q8_0.gguf"),
        lambda: change(Path("agencies/default.yaml"), "models:", "modells:"),
    ],
    ids=["no lock", "torn lock", "lock of another", "unlocked model", "stale lock", "wrong file"],
)
def test_nothing_is_looked_at_without_the_right_lock(world: World, break_it: Any, action: Any) -> None:
    break_it()
    with pytest.raises(QuantLlmError):
        world.run(*action)
    assert world.cloud.digests == ALL
    assert not world.regions


def test_one_bad_lock_saves_the_artifacts_of_all_agencies(world: World) -> None:
    shutil.copy(FIXTURES / "justice.yaml", "agencies")
    with pytest.raises(QuantLlmError, match="justice"):
        world.run("prune", "--yes")
    assert world.cloud.digests == ALL


def test_a_model_that_only_the_lock_has_is_kept(world: World) -> None:
    lock = AgencyLock.read(Path("agencies/default.lock.json"))
    file = MODEL_LOCK.files[0].model_copy(update={"sha256": "c" * 64})
    gone = MODEL_LOCK.model_copy(update={"files": [file]})
    models = {**lock.models, "gone": gone}
    Path("agencies/default.lock.json").write_text(lock.model_copy(update={"models": models}).to_json())
    kept = f"models/gone/{gone.digest}/model.tar.gz"
    world.cloud.objects.append(ObjectVersion(kept, "1", 1, NOW - timedelta(days=60)))
    assert world.run("prune", "--yes") == 0
    assert kept in {one.key for one in world.cloud.objects}


def test_the_unquantised_weights_of_a_recipe_are_kept_as_files_alone(world: World) -> None:
    file, recipe = Path("agencies/default.yaml"), "own"
    text = """
quantise:
  - name: own
    source: {hub: owner/whole}
    method: gguf
    type: Q4_K_M
    instance_type: ml.m5.xlarge
"""
    file.write_text(file.read_text() + text)
    shape = MODEL_LOCK.shape.model_copy(update={"format": "safetensors", "quantization": "BF16"})
    source = MODEL_LOCK.model_copy(
        update={"source": LockedSource(hub="owner/whole", revision="main", files=[]), "shape": shape}
    )
    lock = AgencyLock.read(Path("agencies/default.lock.json"))
    lock = lock.model_copy(update={"quantise": {recipe: QuantiseLock(source=source)}})
    Path("agencies/default.lock.json").write_text(lock.to_json())
    kept, gone = (f"models/{recipe}/{source.digest}/{end}" for end in ("files/weights", "model.tar.gz"))
    made = "quantised/own/job/files/own.gguf"
    for one in (kept, gone, made):
        world.cloud.objects.append(ObjectVersion(one, "1", 1, NOW - timedelta(days=60)))
    assert world.run("prune", "--yes") == 0
    left = {one.key for one in world.cloud.objects}
    assert {kept, made} <= left
    assert gone not in left


def test_a_refused_deletion_is_an_error(world: World) -> None:
    world.cloud.problem = "AccessDenied"
    with pytest.raises(QuantLlmError, match="AccessDenied"):
        world.run("prune", "--yes")


def test_an_unknown_agency_is_an_error(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["artifacts", "list", "none"]) == 1
    assert "agencies/none.yaml" in capsys.readouterr().err
