"""A deploy that fails on purpose, what it leaves behind, and the next deploy."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.e2e.conftest import Platform

Json = Any
Finished = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Drill:
    """One failure.

    `deploy` deploys the agency, whose file is written, makes the failure happen and gives the finished
    command back. `says` are patterns that one reason on the stack has to fit: what happened, and what to do.
    `mistake` is what is wrong in the agency's file, if the failure is there, and what is right.
    """

    name: str
    what: str
    deploy: Callable[[Platform, str], Finished]
    says: tuple[str, ...]
    mistake: tuple[str, str] | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a drill's first deploy: the reason that fits, its time, what still runs, what is left.

    `left` has the types that `quantllm leftovers` tells of, which somebody has to remove.
    """

    drill: Drill
    reason: str
    seconds: float
    running: tuple[str, ...]
    left: tuple[str, ...]


def fail(platform: Platform, drill: Drill) -> Outcome:
    """The first half: the deploy must fail and be rolled back, and say why on the screen and on the stack."""
    changes = () if drill.mistake is None else ((drill.mistake[1], drill.mistake[0]),)
    platform.write_agency(drill.name, *changes)
    started = time.monotonic()
    result = drill.deploy(platform, drill.name)
    seconds = time.monotonic() - started
    screen = " ".join((result.stdout + result.stderr).split())
    assert result.returncode == 1, screen
    assert platform.stack(drill.name)["StackStatus"] == "ROLLBACK_COMPLETE"
    reasons = [
        event["ResourceStatusReason"]
        for event in platform.events(drill.name)
        if event["ResourceStatus"] == "CREATE_FAILED"
    ]
    said = [reason for reason in reasons if all(re.search(pattern, reason) for pattern in drill.says)]
    assert said, reasons
    assert said[0][:60] in screen
    left = tuple(one["type"] for one in leftovers(platform, drill.name))
    return Outcome(drill, said[0], seconds, still_running(platform, drill.name), left)


def recover(platform: Platform, drills: Sequence[Drill]) -> Finished:
    """The second half: what a person does next, for all of the drills at once."""
    for drill in drills:
        platform.write_agency(drill.name)
    return platform.run(
        *("cdk", "deploy", *(platform.stack_name(drill.name) for drill in drills)),
        *("--context", f"agencies_directory={platform.agencies}"),
        *("--require-approval", "never", "--concurrency", str(len(drills))),
        *("--output", str(platform.directory / "cdk.out")),
    )


def leftovers(platform: Platform, agency: str) -> list[Json]:
    """What `quantllm leftovers` tells of the agency."""
    result = platform.run("quantllm", "leftovers", str(platform.agencies / f"{agency}.yaml"), "--json")
    assert result.returncode == 0, result.stdout
    (found,) = json.loads(result.stdout)["agencies"]
    return list(found["leftovers"])


def still_running(platform: Platform, agency: str) -> tuple[str, ...]:
    """Whatever is paid for as long as it is there, and serves nobody."""
    found = [
        f"endpoint {endpoint['EndpointName']}"
        for endpoint in platform.client("sagemaker").list_endpoints()["Endpoints"]
        if endpoint["EndpointName"].startswith(f"{agency}-")
    ]
    s3 = platform.client("s3")
    buckets = s3.list_buckets(Prefix=f"{platform.stack_name(agency).lower()}-models")["Buckets"]
    assert buckets, "the bucket outlives the stack"
    found += [
        f"upload of {upload['Key']}"
        for bucket in buckets
        for upload in s3.list_multipart_uploads(Bucket=bucket["Name"]).get("Uploads", [])
    ]
    found += [f"execution {each}" for each in executions(platform, agency, status="RUNNING")]
    codebuild = platform.client("codebuild")
    ids = codebuild.list_builds()["ids"]
    builds = codebuild.batch_get_builds(ids=ids)["builds"] if ids else []
    found += [f"build {build['id']}" for build in builds if build["buildStatus"] == "IN_PROGRESS"]
    return tuple(found)


def executions(platform: Platform, agency: str, *, status: str) -> list[str]:
    """The ARNs of the executions of the stack's state machines that have this status."""
    client, stack = platform.client("stepfunctions"), platform.stack_name(agency)
    machines = client.list_state_machines()["stateMachines"]
    return [
        execution["executionArn"]
        for machine in machines
        if machine["name"] in (f"{stack}-repack", f"{stack}-endpoints")
        for execution in client.list_executions(
            stateMachineArn=machine["stateMachineArn"], statusFilter=status
        )["executions"]
    ]


def deploy_changed(platform: Platform, agency: str, pattern: str, replacement: str) -> Finished:
    """Deploy with another text in the template than the file's: what no file can ask for."""
    out = platform.directory / f"{agency}.out"
    context = (f"agencies_directory={platform.agencies}", f"agency={agency}")
    synth = platform.run(
        *("cdk", "synth", "--quiet", "--output", str(out)),
        *(argument for each in context for argument in ("--context", each)),
    )
    assert synth.returncode == 0, synth.stderr
    template = out / f"{platform.stack_name(agency)}.template.json"
    text, changes = re.subn(pattern, replacement, template.read_text())
    assert changes, pattern
    template.write_text(text)
    # The CLI publishes a template under its hash, and would take this one for the right one next time.
    assets = out / f"{platform.stack_name(agency)}.assets.json"
    (published,) = (
        name
        for name, asset in json.loads(assets.read_text())["files"].items()
        if asset["source"]["path"] == template.name
    )
    for file in (out / "manifest.json", assets):
        digest = hashlib.sha256(text.encode()).hexdigest()
        file.write_text(file.read_text().replace(published, digest))
    return platform.run(
        *("cdk", "deploy", "--app", str(out), platform.stack_name(agency), "--require-approval", "never")
    )


def wait_for(what: str, found: Callable[[], Json], *, seconds: float = 90) -> Json:
    """The first answer of `found` that says something."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.1)
    return result
