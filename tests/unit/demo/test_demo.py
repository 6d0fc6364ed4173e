"""What the demo shows of what runs below it."""

from __future__ import annotations

import json

import pytest

from quant_llm_tools.demo import RepackProgress, readable, tool_environment

EVENT = "QuantLlmStack |  7/28 | 11:35:05 PM | {} | AWS::KMS::Key | Models/Key (ModelsKey) {}"


def test_resource_that_is_complete_is_one_short_line() -> None:
    assert readable(EVENT.format("CREATE_COMPLETE", "")) == (
        "7/28 CREATE_COMPLETE AWS::KMS::Key Models/Key (ModelsKey)"
    )


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"])
def test_progress_of_a_single_resource_is_left_out(status: str) -> None:
    assert readable(EVENT.format(status, "")) == ""


def test_failure_keeps_its_reason() -> None:
    assert readable(EVENT.format("CREATE_FAILED", "no | such key")).endswith("no | such key")


def test_asset_publishing_is_left_out() -> None:
    assert readable("QuantLlmStack: start: Building Repack/Function/Resource/Code") == ""


def test_repack_progress_adds_up_over_workers() -> None:
    progress = RepackProgress()

    def text(event: str, **fields: object) -> str:
        return progress.text(json.dumps({"event": f"repack.{event}", **fields}))

    planned = text("planned", artifact_bytes=1000, parts=3, workers=2)
    assert planned == "repack: 1,000 bytes in 3 parts, 2 workers"
    assert "100 bytes (10 %)" in text("progress", item=0, bytes_done=100, mb_per_second=12.4)
    assert "500 bytes (50 %)" in text("progress", item=1, bytes_done=400, mb_per_second=12.4)
    assert "600 bytes (60 %), 12 MB/s" in text("progress", item=0, bytes_done=200, mb_per_second=12.4)
    assert "1,000 bytes published" in text("finished", artifact_bytes=1000)


def test_failed_repack_tells_its_reason() -> None:
    line = json.dumps({"event": "repack.failed", "reason": "weights.gguf: wrong sha256"})
    assert RepackProgress().text(line) == "repack failed: weights.gguf: wrong sha256"


def test_settings_of_the_users_own_aws_never_reach_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    environment = tool_environment({"AWS_ENDPOINT_URL": "http://localhost:1"})
    assert "AWS_PROFILE" not in environment
    assert "HF_TOKEN" not in environment
    assert environment["AWS_ENDPOINT_URL"] == "http://localhost:1"
