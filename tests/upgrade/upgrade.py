"""An upgrade of a deployed stack from an older commit, and the way back, on one embedded AWS."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from quant_llm_tools.demo import ask, sha256_of_artifact
from quant_llm_tools.review.sides import Side, synthesised
from tests.e2e.conftest import Platform
from tests.stack.baseline import BASELINE, breaks, read
from tests.upgrade.changes import Change, compare, resources, updated

Json = Any

AGENCY = "default"
OTHER_ARTIFACT = ("    engine: llama.cpp\n", "    engine: llama.cpp\n    artifact: s3-prefix\n")


@dataclass(frozen=True)
class Step:
    """One deploy: what was deployed, what it changed, and the weights that the endpoint then serves."""

    name: str
    status: str
    seconds: float
    changes: tuple[Change, ...]
    model_data_url: str
    sha256: str


@dataclass(frozen=True)
class Upgrade:
    """From `older` to the working tree and back.

    `meant` says of what is removed or replaced that this commit's baseline of stateful resources wants it so.
    `copies` are the versions of the older artifact in the bucket.
    """

    older: str
    steps: tuple[Step, ...]
    meant: tuple[str, ...]
    copies: int
    same_packages: bool

    @property
    def losses(self) -> list[str]:
        """What the deploys took away that nobody meant, in words; empty when all is well."""
        first, *later = self.steps
        lost = [
            f"{step.name}: {change.type} {change.path} is {change.what}"
            for step in later
            for change in step.changes
            if change.loses and not any(change.logical_id in line for line in self.meant)
        ]
        if later[-1].sha256 != first.sha256:
            lost.append(f"{later[-1].name}: the weights are others than those of {first.name}")
        if self.copies != 1:
            lost.append(f"{later[-1].name}: the bucket has {self.copies} versions of {first.model_data_url}")
        return lost


def upgrade(platform: Platform, older: str, say: Callable[[str], None] = lambda _text: None) -> Upgrade:
    """Deploy the default agency from the commit `older`, then from the working tree, then `older` again.

    Before the way back the model gets another artifact, unless the working tree has another one anyway:
    without, there would be no weights to go back to. QuantLlmError for a side that can't be synthesised and
    for a deploy that fails.
    """
    with synthesised(ROOT, older) as (before, after):
        sides = [(f"{older[:12]}", before), ("working tree", after)]
        for name, side in sides:
            if side.refusal is not None:
                raise QuantLlmError(f"{name} can't be synthesised: {side.refusal}")
        steps = [_step(platform, name, _assembly(platform, side), say) for name, side in sides]
        if steps[0].model_data_url == steps[1].model_data_url:
            platform.write_agency(AGENCY, OTHER_ARTIFACT)
            steps.append(_step(platform, "another artifact", lambda: platform.deploy(AGENCY), say))
        steps.append(_step(platform, f"back to {older[:12]}", _assembly(platform, before), say))
        return Upgrade(
            older=older,
            steps=tuple(steps),
            meant=_meant(before),
            copies=_copies(platform, steps[0].model_data_url),
            same_packages=_same(before, "requirements.lock") and _same(before, "package-lock.json"),
        )


def _assembly(platform: Platform, side: Side) -> Callable[[], Any]:
    """A deploy of what a side was synthesised to."""
    return lambda: platform.run(
        *("cdk", "deploy", "--app", str(side.assembly), platform.stack_name(AGENCY)),
        *("--require-approval", "never"),
    )


def _step(platform: Platform, name: str, deploy: Callable[[], Any], say: Callable[[str], None]) -> Step:
    before = resources(platform, AGENCY)
    seen = len(platform.events(AGENCY)) if before else 0
    started = time.monotonic()
    result = deploy()
    seconds = time.monotonic() - started
    if result.returncode != 0:
        raise QuantLlmError(f"the deploy of {name} failed: {result.stdout}{result.stderr}")
    events = platform.events(AGENCY)
    changes = compare(before, resources(platform, AGENCY), updated(events[: len(events) - seen]))
    outputs = platform.outputs(AGENCY)
    (url,) = (value for key, value in outputs.items() if key.endswith("ModelDataUrl"))
    (endpoint,) = (value for key, value in outputs.items() if key.endswith("EndpointName"))
    answer = ask(platform.client("sagemaker-runtime"), endpoint)["choices"][0]["message"]["content"]
    if "Paris" not in answer:
        raise QuantLlmError(f"{name}: the endpoint answers {answer!r}")
    step = Step(
        name=name,
        status=platform.stack(AGENCY)["StackStatus"],
        seconds=round(seconds, 1),
        changes=tuple(changes),
        model_data_url=url,
        sha256=sha256_of_artifact(platform.client("s3"), url),
    )
    say(f"{name}: {step.status} after {step.seconds:.0f} s, {len(step.changes)} resources")
    return step


def _copies(platform: Platform, url: str) -> int:
    """How often an object is in its bucket; a second version would be a second copy of the same bytes."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    listed = platform.client("s3").list_object_versions(Bucket=bucket, Prefix=key).get("Versions", [])
    keys = [each["Key"] for each in listed]
    return max((keys.count(each) for each in keys), default=0)


def _meant(older: Side) -> tuple[str, ...]:
    """What the two commits' baselines say that an update takes away: somebody reviewed that."""
    assert older.directory is not None
    path = older.directory / BASELINE.relative_to(ROOT)
    if not path.exists():
        return ()
    lines = breaks(json.loads(path.read_text()), read())
    return tuple(line for line in lines if line.startswith(f"{AGENCY}: "))


def _same(side: Side, name: str) -> bool:
    assert side.directory is not None
    path = Path(side.directory, name)
    return path.exists() and path.read_bytes() == (ROOT / name).read_bytes()
