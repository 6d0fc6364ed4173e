"""What the pages show as a command's output is what it prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from quant_llm.paths import ROOT
from quant_llm_tools import cli
from tests.unit.docs.pages import TEXTS

FIXTURES = ROOT / "tests" / "fixtures" / "agencies"


def shown(page: str, beginning: str) -> str:
    """The one block of a page that begins so, its lines joined where the page breaks them."""
    blocks = re.findall(r"^```\n(.*?)^```", TEXTS[page], re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(beginning)]
    return str(block)


def test_the_table_of_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", str(FIXTURES / "health.yaml")]) == 0
    assert shown("docs/plan.md", "Q4_K_M") in capsys.readouterr().out


def test_the_error_of_a_misspelt_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "agencies" / "default.yaml").read_text(encoding="utf-8")
    moh = tmp_path / "agencies" / "moh.yaml"
    moh.parent.mkdir()
    moh.write_text(text.replace(" default", " moh").replace("engine: llama.cpp", "engine: lama.cpp"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["agencies", "check", "agencies/moh.yaml"]) == 1
    said = capsys.readouterr()
    assert shown("README.md", "agencies/moh.yaml:10") in said.out + said.err


def test_the_error_of_a_model_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mistral 7B with weights of 16 bits, four requests of 4,096 tokens, a T4."""
    moh = tmp_path / "agencies" / "moh.yaml"
    moh.parent.mkdir()
    moh.write_text(
        "agency: moh\n"
        'environment: {account: "123456789012", region: us-east-1}\n'
        "models:\n"
        "  - name: mistral-7b\n"
        '    source: {hub: TheBloke/Mistral-7B-Instruct-v0.2-GGUF, files: ["*Q4_K_M.gguf"]}\n'
        "    engine: llama.cpp\n"
        "    instance_type: ml.g4dn.xlarge\n"
        "    context_length: 4096\n"
        "    concurrency: 4\n"
    )
    lock = json.loads((FIXTURES / "health.lock.json").read_text(encoding="utf-8"))
    model = lock["models"]["mistral-7b"]
    model["files"][0]["size"] = 2 * model["shape"]["parameters"]
    moh.with_suffix(".lock.json").write_text(
        json.dumps({**lock, "agency": "moh", "models": {"mistral-7b": model}})
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(["agencies", "check", "agencies/moh.yaml"]) == 1
    said = capsys.readouterr()
    one_line = shown("docs/sizing.md", "agencies/moh.yaml:7").replace("\n", " ").strip()
    assert one_line in said.out + said.err
