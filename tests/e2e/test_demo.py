"""`make demo` itself: its last line, and that nothing is left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quant_llm.agency import AgencyLock
from quant_llm.paths import ROOT

pytestmark = pytest.mark.e2e


def processes_with(marker: str) -> list[str]:
    """The command lines of this machine's processes whose environment holds the marker."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in environ.read_bytes():
                found.append(environ.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it ended meanwhile, or is not ours
            continue
    return found


def test_demo_ends_with_its_line_of_json_and_leaves_nothing_running(tmp_path: Path) -> None:
    marker = f"QUANTLLM_TEST_MARKER={tmp_path}"
    name, _, value = marker.partition("=")
    result = subprocess.run(
        [sys.executable, "-m", "quant_llm_tools.demo"],
        cwd=ROOT,
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    last = json.loads(result.stdout.splitlines()[-1])
    (gguf,) = AgencyLock.read(ROOT / "agencies" / "default.lock.json").models["smollm2-135m"].files
    assert last["demo"] == "ok"
    assert last["endpoint"] == "default-smollm2-135m"
    assert last["source_sha256"] == gguf.sha256
    assert last["model_data_url"].endswith("/model.tar.gz")
    assert len(last["artifact_sha256"]) == 64
    assert last["completion_tokens"] > 0
    assert last["context_length"] == 2048
    assert "repack: " in result.stdout
    assert "Paris" in result.stdout
    if Path("/proc").is_dir():
        assert processes_with(marker) == []
