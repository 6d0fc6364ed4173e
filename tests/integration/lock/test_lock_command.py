"""`quantllm lock` over HTTP: layouts, gated repositories, faults of the hub and of the network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from quant_llm.agency import AgencyLock, ModelLock
from quant_llm.errors import QuantLlmError
from quant_llm_tools.cli import main
from quant_llm_tools.local_aws.hub import TOKEN_WITH_ACCESS, HubServer
from quant_llm_tools.lock.hub import HubRepository

Agency = Callable[..., Path]


def locked(path: Path) -> ModelLock:
    assert main(["lock", str(path)]) == 0
    return AgencyLock.read(path.with_suffix(".lock.json")).models["tiny"]


def errors(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["lock", "--json", str(path)]) == 1
    assert not path.with_suffix(".lock.json").exists()
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    (error,) = document["agencies"][0]["errors"]
    assert error.startswith(f"{path}:")
    assert "model 'tiny': " in error
    return str(error)


def test_shard_set_is_locked_as_a_whole(hub: HubServer, agency: Agency) -> None:
    whole = locked(agency("quantllm-test/tiny-gguf", files=["*Q8_0*"]))
    sharded = locked(agency("quantllm-test/tiny-gguf-sharded"))
    assert len(sharded.files) > 1
    assert all(file.path.startswith("tiny-q8_0-0000") for file in sharded.files)
    assert sharded.shape.model_dump(exclude={"bits_per_weight"}) == whole.shape.model_dump(
        exclude={"bits_per_weight"}
    )


@pytest.mark.parametrize(
    ("repository", "engine", "form", "quantization"),
    [
        ("quantllm-test/tiny-exl2", "exllamav2", "exl2", "EXL2-4.0bpw"),
        ("quantllm-test/tiny-awq", "vllm", "safetensors", "AWQ-4bit"),
        ("quantllm-test/tiny-gptq", "vllm", "safetensors", "GPTQ-4bit"),
        ("quantllm-test/tiny-fp8", "vllm", "safetensors", "FP8"),
        ("quantllm-test/tiny-fp8-compressed", "vllm", "safetensors", "FP8"),
        ("quantllm-test/tiny-int4-compressed", "tgi", "safetensors", "INT4"),
        ("quantllm-test/tiny-bf16", "tgi", "safetensors", "BF16"),
    ],
)
def test_safetensors_have_the_parameters_of_the_gguf(
    hub: HubServer, agency: Agency, repository: str, engine: str, form: str, quantization: str
) -> None:
    whole = locked(agency("quantllm-test/tiny-gguf", files=["*Q8_0*"]))
    packed = locked(agency(repository, engine))
    assert (packed.shape.format, packed.shape.quantization) == (form, quantization)
    assert packed.shape.parameters == whole.shape.parameters
    paths = [file.path for file in packed.files]
    assert "config.json" in paths
    assert "README.md" not in paths


def test_branch_and_tag_resolve_to_the_commit(hub: HubServer, agency: Agency) -> None:
    by_branch = locked(agency("quantllm-test/tiny-gguf", files=["*Q8_0*"]))
    by_tag = locked(agency("quantllm-test/tiny-gguf", files=["*Q8_0*"], revision="v1.0"))
    assert by_tag.commit == by_branch.commit
    assert (by_branch.source.revision, by_tag.source.revision) == ("main", "v1.0")


def test_listing_in_many_pages_gives_the_same_lock(hub: HubServer, agency: Agency) -> None:
    path = agency("quantllm-test/tiny-awq", "vllm")
    whole = locked(path)
    with HubServer(page_size=2) as paged, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", paged.url)
        assert locked(path) == whole
        assert sum("/tree/" in request.path for request in paged.requests) > 1


def test_folders_choose_between_files_of_one_name(
    hub: HubServer, agency: Agency, capsys: pytest.CaptureFixture[str]
) -> None:
    error = errors(agency("quantllm-test/tiny-gguf-folders"), capsys)
    assert "2 GGUF models, expected one: choose by `source.files` from imatrix/tiny.Q4_K_M.gguf (" in error
    chosen = locked(agency("quantllm-test/tiny-gguf-folders", files=["static/*"]))
    assert [file.path for file in chosen.files] == ["static/tiny.Q4_K_M.gguf"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"repository": "quantllm-test/gone"}, "there is no 'quantllm-test/gone' on http"),
        (
            {"repository": "quantllm-test/tiny-gguf", "revision": "v9"},
            "'quantllm-test/tiny-gguf' has no revision 'v9' on http",
        ),
        (
            {"repository": "quantllm-test/tiny-gguf", "files": ["*Q2_K*"]},
            "no file matches the pattern '*Q2_K*'",
        ),
        (
            {"repository": "quantllm-test/tiny-gguf", "engine": "vllm"},
            "root has no *.safetensors, which vllm needs",
        ),
        ({"repository": "quantllm-test/tiny-gated"}, "is gated: accept its conditions on http"),
    ],
)
def test_what_is_not_there_is_told(
    hub: HubServer,
    agency: Agency,
    capsys: pytest.CaptureFixture[str],
    source: dict[str, object],
    message: str,
) -> None:
    assert message in errors(agency(**source), capsys)


def test_token_opens_a_gated_repository_and_is_shown_nowhere(
    hub: HubServer, agency: Agency, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN_WITH_ACCESS)
    path = agency("quantllm-test/tiny-gated")
    locked(path)
    output = capfd.readouterr()
    for text in (output.out, output.err, path.with_suffix(".lock.json").read_text()):
        assert TOKEN_WITH_ACCESS not in text
    # The stand-in's CDN answers 400 to a request with a token, as the real one does.
    assert {request.authorized for request in hub.requests if request.path.startswith("/cdn/")} == {False}
    assert {request.authorized for request in hub.requests if not request.path.startswith("/cdn/")} == {True}
    assert "name `source.token_secret` too, for the repack" in output.err


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_anotheraccount", "is gated and HF_TOKEN has no access"),
        ("nonsense", "refuses the token of HF_TOKEN: Invalid credentials"),
    ],
)
def test_token_that_does_not_help_is_told(
    hub: HubServer,
    agency: Agency,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    message: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    error = errors(agency("quantllm-test/tiny-gated"), capsys)
    assert message in error
    assert token not in error


@mock_aws
def test_secret_of_the_agency_opens_a_gated_repository(
    hub: HubServer, agency: Agency, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = boto3.client("secretsmanager", region_name="us-east-1")
    secrets.create_secret(Name="hf-token", SecretString=TOKEN_WITH_ACCESS)
    path = agency("quantllm-test/tiny-gated", token_secret="hf-token")
    assert locked(path).files[0].path == "tiny.Q4_K_M.gguf"
    output = capfd.readouterr()
    assert TOKEN_WITH_ACCESS not in output.out + output.err + path.with_suffix(".lock.json").read_text()


@pytest.mark.parametrize("pattern", ["*/revision/*", "*/tree/*", "*/resolve/*", "/cdn/*"])
def test_hub_that_fails_three_times_and_then_recovers_is_no_error(
    hub: HubServer, agency: Agency, pattern: str
) -> None:
    hub.faults.fail(pattern, times=3, retry_after=0)
    assert locked(agency("quantllm-test/tiny-gguf", files=["*Q8_0*"])).files


def test_body_that_breaks_off_is_read_again(hub: HubServer, agency: Agency) -> None:
    hub.faults.truncate("/cdn/*", after=100)
    assert locked(agency("quantllm-test/tiny-gguf", files=["*Q8_0*"])).files


def test_hub_that_keeps_failing_is_told(
    hub: HubServer, agency: Agency, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults.fail("*/tree/*", times=None, retry_after=0)
    error = errors(agency("quantllm-test/tiny-gguf", files=["*Q8_0*"]), capsys)
    assert "did not give the list of files at" in error
    assert "it answered 503, 5 times" in error


def test_small_file_with_a_wrong_byte_is_refused(
    hub: HubServer, agency: Agency, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults.wrong_byte("*/tokenizer.json", offset=5)
    assert "tokenizer.json: the bytes have the hash" in errors(
        agency("quantllm-test/tiny-awq", "vllm"), capsys
    )


def test_hub_that_is_not_there_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_ENDPOINT", address)
            with (
                HubRepository("owner/name", "main", sleep=lambda _: None) as repository,
                pytest.raises(QuantLlmError, match=r"did not give revision 'main' of .*refused.*, 5 times"),
            ):
                repository.resolve()


def test_json_is_all_that_is_printed_and_progress_goes_to_stderr(
    hub: HubServer, agency: Agency, capfd: pytest.CaptureFixture[str]
) -> None:
    path = agency("quantllm-test/tiny-gguf", files=["*Q8_0*"])
    assert main(["lock", "--json", str(path)]) == 0
    quiet = capfd.readouterr()
    assert json.loads(quiet.out)["agencies"][0]["models"][0]["state"] == "new"
    assert quiet.err == ""
    assert main(["lock", str(path)]) == 0
    told = capfd.readouterr()
    assert told.out.splitlines()[0].endswith("moh.lock.json: up to date")
    assert f"{path}: tiny: asking for quantllm-test/tiny-gguf at main" in told.err


def test_nothing_is_written_to_the_home_folder(hub: HubServer, agency: Agency, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = agency("quantllm-test/tiny-awq", "vllm")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    completed = subprocess.run(
        [sys.executable, "-m", "quant_llm_tools.cli", "lock", str(path)],
        env={**kept, "HOME": str(home), "HF_ENDPOINT": hub.url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert completed.returncode == 0, completed.stderr
    assert list(home.rglob("*")) == []
    assert not [request for request in hub.requests if request.path.startswith("/api/agent")]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["home", "moh.lock.json", "moh.yaml"]
