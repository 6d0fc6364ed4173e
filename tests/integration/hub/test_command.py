"""`python -m quant_llm_tools.local_aws.hub` in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
import urllib3

from quant_llm.paths import ROOT

COMMAND = [sys.executable, "-m", "quant_llm_tools.local_aws.hub"]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_url_and_serves_until_it_is_told_to_stop(ending: signal.Signals) -> None:
    with subprocess.Popen(COMMAND, cwd=ROOT / "tools", stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            answer = urllib3.request("GET", f"{url}/api/models/quantllm-test/tiny-gguf")
            assert answer.json()["id"] == "quantllm-test/tiny-gguf"
            process.send_signal(ending)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


def test_a_port_that_is_taken_is_a_short_error() -> None:
    with subprocess.Popen(COMMAND, cwd=ROOT / "tools", stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["url"].rpartition(":")[2]
            second = subprocess.run(
                [*COMMAND, "--port", port], cwd=ROOT / "tools", capture_output=True, text=True, timeout=60
            )
        finally:
            process.terminate()
    assert second.returncode == 1
    assert "in use" in second.stderr
    assert "Traceback" not in second.stderr
