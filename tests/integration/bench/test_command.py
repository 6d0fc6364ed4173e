"""`quantllm bench` as it is typed: against a server, interrupted, against none, and with a real model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from quant_llm_tools.bench.results import Benchmark
from quant_llm_tools.cli import main
from tests.integration.bench.fake_engine import TOKENS, FakeEngine

SHORT = ("--quick", "--seconds", "0.3", "--rate", "20", "--max-tokens", str(TOKENS))
PRICE = ("--usd-per-hour", "3.6")


def last_line(output: str) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(output.splitlines()[-1])
    return line


def test_the_last_line_and_the_file_say_the_same(
    engine: FakeEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.gap_s = 0.005
    path = tmp_path / "result.json"
    assert main(["bench", engine.url, *SHORT, *PRICE, "--json", "--output", str(path)]) == 0
    said = capsys.readouterr()
    line, result = last_line(said.out), Benchmark.read(path)
    assert result.article is not None
    assert result.best is not None
    assert line["errors"] == 0
    assert line["tokens_per_s"] == pytest.approx(result.article.summary.tokens_per_s_stream, abs=0.001)
    usd = line["usd_per_million_output_tokens"]
    assert usd == pytest.approx(1e6 / (1000 * line["best_tokens_per_s"]), rel=1e-3)
    assert line["ttft_ms_p50"] > 0
    assert result.complete
    assert result.environment.model == result.name == "fake"
    assert result.token_check is not None
    assert result.token_check.usage == 5 * TOKENS
    assert result.generator is not None
    assert result.generator.pieces_per_s > 1
    # Tokens 5 ms apart are at most 200 a second, on any machine.
    assert 0 < (result.article.summary.decode_tokens_per_s_stream or 0) < 200 * TOKENS / (TOKENS - 1)
    assert "one stream, 5 prompts x 1: 5 requests" in said.err


def test_the_table_shows_each_load(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", engine.url, *SHORT, "--name", "the fake"]) == 0
    shown = capsys.readouterr().out
    for words in ("the fake", "1 stream", "2 streams", "20 req/s", "no price is known"):
        assert words in shown


def test_the_model_is_named_as_asked(engine: FakeEngine) -> None:
    assert main(["bench", engine.url, *SHORT, "--chat", "--model", "another"]) == 0
    assert {(path, fields["model"]) for path, _, fields in engine.asked if "messages" in fields} == {
        ("/v1/chat/completions", "another")
    }


def test_a_server_that_is_not_there_is_an_error_in_json(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.server_close()
    assert main(["bench", engine.url, *SHORT, "--json"]) == 1
    assert "answers no request (connection)" in last_line(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://127.0.0.1:1", "--output", "/nowhere/x.json"], "no folder /nowhere"),
        (["http://127.0.0.1:1", "--api-key-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
        (["ftp://127.0.0.1"], "expected http"),
    ],
)
def test_what_can_be_known_is_said_before_anything_is_measured(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a", "--local"], ["a", "--seconds", "0"], ["a", "--rounds", "x"]])
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bench", *arguments])


def test_ctrl_c_keeps_what_was_measured(engine: FakeEngine, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "quant_llm_tools.cli", "bench", engine.url, "--json", "--output", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with process:  # its pipes are closed, however this ends: later they would be another test's warning
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if line.startswith("one stream, 30 prompts x 5"):
                    break
            # Behind lie the article's 150, warm-up and the count of tokens; the sweep's first takes 30 s.
            while len(engine.asked) < 180 and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    result = Benchmark.read(path)
    assert not result.complete
    assert result.article is not None
    assert len(result.article.requests) == 150
    assert not result.sweep[-1].complete
    assert result.sweep[-1].requests
    assert last_line(output)["complete"] is False
    assert "the run was interrupted: what is here was measured until then" in result.warnings


def test_the_container_with_its_real_model_is_measured_and_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "result.json"
    load = ("--quick", "--prompts", "2", "--seconds", "0.5", "--max-tokens", "8", "--rate", "4")
    assert main(["bench", "--local", *load, "--json", "--output", str(path)]) == 0
    line, result = last_line(capsys.readouterr().out), Benchmark.read(path)
    assert line["errors"] == 0
    assert line["tokens_per_s"] > 1
    assert line["ttft_ms_p50"] > 1
    assert line["usd_per_million_output_tokens"] > 0
    assert any("this machine served it" in remark for remark in result.warnings)
    assert result.environment.quantization == "Q4_1"
    assert result.environment.instance_type is None
    check = result.token_check
    assert check is not None
    # llama.cpp's tokenizer counts the text of its own answers as its generator did.
    assert check.agrees
    assert check.retokenised == pytest.approx(check.usage, rel=0.1)
    requests = [one for point in (result.article, *result.sweep) if point for one in point.requests]
    assert {one.output_tokens for one in requests} == {8}
