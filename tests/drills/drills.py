"""The failures that a deploy must survive, as drills."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from quant_llm_repack.state_machine import TIMEOUT_SECONDS
from tests.drills.drill import Drill, Finished, deploy_changed, executions, wait_for
from tests.e2e.conftest import Platform


@contextmanager
def _stalled(platform: Platform) -> Iterator[None]:
    """The hub's CDN sends no byte for longer than a drill takes."""
    platform.aws.hub.faults.stall("/cdn/*", seconds=60, times=None)
    try:
        yield
    finally:
        platform.aws.hub.faults.clear()


def _stop_the_repack(platform: Platform, agency: str) -> Finished:
    s3 = platform.client("s3")

    def uploads() -> bool:
        buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
        return any(s3.list_multipart_uploads(Bucket=bucket).get("Uploads") for bucket in buckets)

    with _stalled(platform), ThreadPoolExecutor(1) as background:
        deploy = background.submit(platform.deploy, agency)
        wait_for("upload", uploads)
        (execution,) = executions(platform, agency, status="RUNNING")
        platform.client("stepfunctions").stop_execution(
            executionArn=execution, error="Stopped", cause="the wrong model"
        )
        return deploy.result()


def _let_the_repack_take_too_long(platform: Platform, agency: str) -> Finished:
    with _stalled(platform):
        return deploy_changed(platform, agency, rf'(TimeoutSeconds\\":) ?{TIMEOUT_SECONDS}', r"\1 3")


def _without_the_hub(platform: Platform, agency: str) -> Finished:
    """The state machine's own tries, eight with up to five minutes between them, are left out."""
    with platform.aws.hub.faults.failing("*", status=503):
        return deploy_changed(platform, agency, r'(MaxAttempts\\":) ?8', r"\1 0")


def _without_a_dockerfile(platform: Platform, agency: str) -> Finished:
    return deploy_changed(platform, agency, r"llamacpp/Dockerfile", "llamacpp/Dockerfile.gone")


DRILLS = (
    Drill(
        "repack-stopped",
        "the repack is stopped in the middle of a deploy",
        _stop_the_repack,
        (
            r"was stopped before its end; CloudTrail's StopExecution says by whom",
            r"\(Stopped: the wrong model\); see the execution arn:aws:states:",
            r"deploy again",
        ),
    ),
    Drill(
        "repack-late",
        "the repack takes longer than it may",
        _let_the_repack_take_too_long,
        (r"took longer than its state machine allows; see the execution arn:aws:states:", r"deploy again"),
    ),
    Drill(
        "hub-gone",
        "the hub answers nothing but errors",
        _without_the_hub,
        (r"failed 6 times in a row, the last with: .*503", r"deploy again"),
    ),
    Drill(
        "image-bad",
        "the image can't be built",
        _without_a_dockerfile,
        (r"image build .* ended as FAILED", r"no Dockerfile llamacpp/Dockerfile\.gone", r"deploy again"),
    ),
    Drill(
        "endpoint-sick",
        "the container ends before its health check succeeds",
        lambda platform, agency: platform.deploy(agency),
        (r"llama-server has no option LLAMA_ARG_CTX_SHIFTS", r"check environment in the agency file"),
        mistake=('    environment: {LLAMA_ARG_CTX_SHIFTS: "1"}\n    scaling:', "    scaling:"),
    ),
)
"""In the order in which they are done."""

SHORT = tuple(drill for drill in DRILLS if drill.name in ("repack-stopped", "repack-late", "image-bad"))
"""Those that no other test has: what the test suite does."""
