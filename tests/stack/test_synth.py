"""`app.py` as the CDK CLI runs it: offline, without credentials, the same bytes twice, and clear refusals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quant_llm.paths import ROOT
from tests.stack.conftest import health_file

NODE_BIN = Path(sys.executable).parent

# Any connection from Python or from jsii's Node ends the synth.
BLOCK_PYTHON = """
import socket
def refuse(*args, **kwargs):
    raise RuntimeError("synth opened a connection")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
"""
BLOCK_NODE = """
const net = require("net"), dns = require("dns");
const refuse = () => { throw new Error("synth opened a connection"); };
net.Socket.prototype.connect = refuse;
dns.lookup = refuse;
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty before the first synth: jsii keeps what it unpacks there, 200 MB, for those that follow."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def offline(tmp_path: Path, home: Path) -> dict[str, str]:
    """An environment with nothing of this machine's: no credentials, no home, no way out."""
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(BLOCK_PYTHON)
    (guard / "block.js").write_text(BLOCK_NODE)
    return {
        "PATH": f"{NODE_BIN}:/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": str(guard),
        "NODE_OPTIONS": f"--require {guard / 'block.js'}",
        "CDK_CONTEXT_JSON": (ROOT / "cdk.json").read_text(),
    }


def synth(environment: dict[str, str], outdir: Path, **context: str) -> subprocess.CompletedProcess[str]:
    flags = json.loads((ROOT / "cdk.json").read_text())["context"] | context
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**environment, "CDK_OUTDIR": str(outdir), "CDK_CONTEXT_JSON": json.dumps(flags)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def agencies(tmp_path: Path) -> Path:
    directory = tmp_path / "agencies"
    shutil.copytree(ROOT / "agencies", directory)
    return directory


def test_synth_is_offline_needs_no_credentials_and_gives_the_same_bytes_twice(
    offline: dict[str, str], tmp_path: Path, agencies: Path
) -> None:
    path = agencies / "default.yaml"  # a type that is chosen is told in the metadata as well
    path.write_text(path.read_text().replace("instance_type: ml.g4dn.xlarge", "instance_type: auto"))
    first = synth(offline, tmp_path / "first", agencies_directory=str(agencies))
    assert first.returncode == 0, first.stderr
    # Another time, another user, another order of hashing: nothing of it may show.
    again = {**offline, "PYTHONHASHSEED": "7", "TZ": "Asia/Singapore", "LANG": "C"}
    second = synth(again, tmp_path / "second", agencies_directory=str(agencies))
    assert second.returncode == 0, second.stderr
    assert "QuantLlmStack.template.json" in files_of(tmp_path / "first")
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")
    # The CDK's own validation, which writes it, takes 400 MiB.
    assert "validation-report.json" not in files_of(tmp_path / "first")


def test_missing_lock_names_the_command_that_makes_it(
    offline: dict[str, str], tmp_path: Path, agencies: Path
) -> None:
    (agencies / "default.lock.json").unlink()
    result = synth(offline, tmp_path / "out", agencies_directory=str(agencies))
    assert result.returncode == 1
    assert "quantllm lock" in result.stderr
    assert "default.yaml" in result.stderr
    assert "Traceback" not in result.stderr


def test_changed_source_makes_the_lock_stale(offline: dict[str, str], tmp_path: Path, agencies: Path) -> None:
    path = agencies / "default.yaml"
    path.write_text(path.read_text().replace('"*Q4_1.gguf"', '"*Q8_0.gguf"'))
    result = synth(offline, tmp_path / "out", agencies_directory=str(agencies))
    assert result.returncode == 1
    assert "quantllm lock" in result.stderr


def test_wrong_field_is_named_with_its_line(offline: dict[str, str], tmp_path: Path, agencies: Path) -> None:
    path = agencies / "default.yaml"
    path.write_text(path.read_text().replace("engine: llama.cpp", "engine: lama.cpp"))
    line = path.read_text().splitlines().index("    engine: lama.cpp") + 1
    result = synth(offline, tmp_path / "out", agencies_directory=str(agencies))
    assert result.returncode == 1
    assert f"default.yaml:{line}" in result.stderr
    assert "did you mean" in result.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_unknown_agency_is_refused(offline: dict[str, str], tmp_path: Path) -> None:
    result = synth(offline, tmp_path / "out", agency="nobody")
    assert result.returncode == 1
    assert "nobody.yaml" in result.stderr


def test_more_models_than_a_stack_can_have_are_refused_in_words(
    offline: dict[str, str], tmp_path: Path, agencies: Path
) -> None:
    path = agencies / "default.yaml"
    head, _, model = path.read_text().partition("models:\n")
    names = [f"chat-{position}" for position in range(40)]
    models = [model.replace("smollm2-135m", name, 1) for name in names]
    path.write_text(f"{head}models:\n{''.join(models)}")
    lock = agencies / "default.lock.json"
    written = json.loads(lock.read_text())
    (entry,) = written["models"].values()
    lock.write_text(json.dumps({**written, "models": dict.fromkeys(names, entry)}))
    result = synth(offline, tmp_path / "out", agencies_directory=str(agencies))
    assert result.returncode == 1
    assert "default.yaml: models: got 40 models that are " in result.stderr
    assert "expected at most 500, as many as CloudFormation takes" in result.stderr
    assert "Traceback" not in result.stderr


def test_one_agency_is_synthesised_alone(offline: dict[str, str], tmp_path: Path, agencies: Path) -> None:
    for suffix in (".yaml", ".lock.json"):
        shutil.copy(ROOT / "tests" / "fixtures" / "agencies" / f"justice{suffix}", agencies)
    result = synth(offline, tmp_path / "out", agencies_directory=str(agencies), agency="justice")
    assert result.returncode == 0, result.stderr
    templates = sorted(path.name for path in (tmp_path / "out").glob("*.template.json"))
    assert templates == ["QuantLlmStack-justice.template.json"]


def test_template_is_clean_under_cfn_lint(offline: dict[str, str], tmp_path: Path, agencies: Path) -> None:
    for suffix in (".yaml", ".lock.json"):
        shutil.copy(ROOT / "tests" / "fixtures" / "agencies" / f"justice{suffix}", agencies)
    health_file(agencies)  # with alarms and a budget
    assert synth(offline, tmp_path / "out", agencies_directory=str(agencies)).returncode == 0
    templates = [str(path) for path in sorted((tmp_path / "out").glob("*.template.json"))]
    assert len(templates) == 3
    linted = subprocess.run(
        [str(Path(sys.executable).parent / "cfn-lint"), "--", *templates],
        capture_output=True,
        text=True,
        env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true"},
        timeout=240,
    )
    assert linted.returncode == 0, linted.stdout
