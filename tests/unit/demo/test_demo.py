"""What the demo shows of what runs below it."""

from __future__ import annotations

import json

import pytest

from quant_llm_tools.demo import progress_text, readable, tool_environment

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


def test_repack_progress_tells_bytes_share_and_rate() -> None:
    record = {"event": "repack.progress", "bytes_done": 50, "bytes_total": 200, "mb_per_second": 12.4}
    assert progress_text(json.dumps(record)) == "repack: 50 of 200 bytes (25 %), 12 MB/s"


def test_settings_of_the_users_own_aws_never_reach_a_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    environment = tool_environment({"AWS_ENDPOINT_URL": "http://localhost:1"})
    assert "AWS_PROFILE" not in environment
    assert "HF_TOKEN" not in environment
    assert environment["AWS_ENDPOINT_URL"] == "http://localhost:1"
