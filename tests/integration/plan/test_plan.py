"""`quantllm plan` against the stand-in of the hub, as it is run by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_llm.paths import ROOT
from quant_llm_tools.cli import main
from quant_llm_tools.local_aws.hub import TOKEN_WITH_ACCESS, HubServer
from quant_llm_tools.plan.document import ModelPlan, Plan

FIXTURES = ROOT / "tests" / "fixtures" / "agencies"
MISTRAL = "TheBloke/Mistral-7B-Instruct-v0.2-GGUF"


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(autouse=True)
def hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    server.faults.clear()
    server.forget_requests()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for name in [name for name in os.environ if name == "HF_TOKEN" or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return server


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> ModelPlan:
    assert main(["plan", *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    (model,) = Plan.model_validate_json(captured.out).models
    return model


def test_a_repository_of_ggufs_is_planned_by_the_headers_alone(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(capsys, MISTRAL)
    assert (plan.region, plan.context_length, plan.concurrency) == ("us-east-1", 4096, 4)
    # All fit the same cheapest type, so the largest comes first.
    assert [one.quantization for one in plan.quantizations] == ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"]
    assert {one.types[0].instance_type for one in plan.quantizations} == {"ml.g4dn.xlarge"}
    assert plan.left_out == ()
    sent = sum(request.bytes for request in hub.requests)
    assert sent < sum(one.weight_bytes for one in plan.quantizations) / 1000


@pytest.mark.parametrize(
    ("repository", "quantization", "engine", "parameters"),
    [
        ("Qwen/Qwen2.5-14B-Instruct-GGUF", "Q4_K_M", "llama.cpp", 14.8e9),
        ("LoneStriker/CodeLlama-34b-Instruct-hf-4.0bpw-h6-exl2", "EXL2-4.0bpw", "exllamav2", 33.7e9),
        ("casperhansen/llama-3-70b-instruct-awq", "AWQ-4bit", "vllm", 70.6e9),
    ],
)
def test_shard_sets_and_safetensors_folders_are_one_each(
    repository: str, quantization: str, engine: str, parameters: float, capsys: pytest.CaptureFixture[str]
) -> None:
    (one,) = planned(capsys, repository).quantizations
    assert (one.quantization, one.engine) == (quantization, engine)
    assert one.parameters == pytest.approx(parameters, rel=0.01)


def test_options_take_the_place_of_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--region", "eu-west-1", "--context-length", "8192", "--concurrency", "16")
    plan = planned(capsys, f"{MISTRAL}@main", *options, "--engine", "llama.cpp")
    assert (plan.region, plan.context_length, plan.concurrency) == ("eu-west-1", 8192, 16)
    more, fewer = (planned(capsys, MISTRAL, "--concurrency", number) for number in ("8", "4"))
    assert (
        more.quantizations[0].types[0].memory.kv_cache == 2 * fewer.quantizations[0].types[0].memory.kv_cache
    )


def test_a_short_context_of_the_model_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert planned(capsys, "quantllm-test/tiny-gguf@v1.0").context_length == 512


def test_a_gated_repository_needs_a_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["plan", "quantllm-test/tiny-gated"]) == 1
    assert "is gated: accept its conditions" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", TOKEN_WITH_ACCESS)
    assert len(planned(capsys, "quantllm-test/tiny-gated").quantizations) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody/nothing"], "there is no 'nobody/nothing'"),
        (["quantllm-test/tiny-gguf@v9"], "has no revision 'v9'"),
        ([MISTRAL, "--engine", "vllm"], "has nothing that runs on vllm, only on llama.cpp"),
    ],
)
def test_what_the_hub_does_not_have_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_an_agency_file_without_a_lock_is_looked_up_and_not_locked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(shutil.copy(FIXTURES / "justice.yaml", tmp_path))
    unlocked = planned(capsys, str(path)).quantizations[0]
    assert list(tmp_path.iterdir()) == [path]
    assert "not locked" in unlocked.notes[0]
    shutil.copy(FIXTURES / "justice.lock.json", tmp_path)
    locked = planned(capsys, str(path)).quantizations[0]
    assert locked == unlocked.model_copy(update={"notes": ()})


def test_a_model_that_the_hub_does_not_have_is_an_error_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (FIXTURES / "justice.yaml").read_text().replace("TheBloke/", "Nobody/")
    path = tmp_path / "justice.yaml"
    path.write_text(text)
    line = text.splitlines().index(next(one for one in text.splitlines() if "Nobody/" in one)) + 1
    assert main(["plan", str(path)]) == 1
    assert f"justice.yaml:{line}: models[0].source: model 'mistral-7b' has no lock" in capsys.readouterr().err


def test_terminal_columns_and_colour_change_nothing(hub: HubServer) -> None:
    """It is run as a program, so that nothing about the terminal is the test's own."""
    command = [sys.executable, "-m", "quant_llm_tools.cli", "plan", MISTRAL]
    outputs = []
    for more in ({"COLUMNS": "80"}, {"COLUMNS": "200", "FORCE_COLOR": "1", "LC_ALL": "C"}):
        run = subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=True)
        outputs.append(run.stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].isascii()
    assert "\x1b" not in outputs[0]
    assert max(map(len, outputs[0].splitlines())) <= 80
