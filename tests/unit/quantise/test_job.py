"""The job in the container, with tools that only look like the real ones."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import quant_llm_quantise
from quant_llm_quantise import exl2, gguf, gptq
from quant_llm_quantise.errors import QuantiseError, RequestError, SourceError, ToolError
from quant_llm_quantise.job import run
from quant_llm_quantise.request import Layout, Manifest, Request
from tests.unit.quantise.conftest import TEXT, Bench, request, sha256

GPTQ = {"method": "gptq", "type": None, "bits": 4.0, "group_size": 64, "seed": 7}


def run_job(bench: Bench, **changes: object) -> Manifest:
    bench.ask(request(**changes))
    return run(bench.layout, bench.environment, lambda *_, **__: None)


def test_manifest_names_the_bytes_that_the_tools_wrote(bench: Bench) -> None:
    manifest = run_job(bench)
    (made,) = manifest.files
    content = (bench.layout.files / "small-Q4_K_M.gguf").read_bytes()
    assert content == b"Q4_K_M of converted whole weights"
    assert (made.path, made.size, made.sha256) == ("small-Q4_K_M.gguf", len(content), sha256(content))
    assert manifest.tools["llama.cpp"] == "b11549"
    assert Manifest.from_json((bench.layout.output / "manifest.json").read_text()) == manifest


def test_manifest_of_exl2_does_not_name_llama_cpp(bench: Bench) -> None:
    prepared = bench.layout.work / "source"
    script = (
        f'mkdir -p "{prepared}"; echo made | tee "{prepared}/config.json" >"{bench.layout.files}/config.json"'
    )
    bench.write_tool("python3", script)
    manifest = run_job(bench, method="exl2", type=None, bits=4.0)
    assert [file.path for file in manifest.files] == ["config.json"]
    assert "llama.cpp" not in manifest.tools


def test_calibration_reaches_the_quantiser_and_perplexity_is_read_before_and_after(bench: Bench) -> None:
    manifest = run_job(bench, calibration_sha256=sha256(TEXT), evaluation_sha256=sha256(TEXT))
    assert b"with Some words" in (bench.layout.files / "small-Q4_K_M.gguf").read_bytes()
    assert manifest.perplexity == {"before": 7.5, "after": 7.8125}


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("model.safetensors", b"other weights", "model.safetensors: got the sha256"),
        ("model.safetensors", b"short", "model.safetensors: got 5 bytes, expected 13 of the lock"),
        ("model.safetensors", None, "the source lacks 'model.safetensors' of the lock"),
        ("code/evil.py", b"import os", "the source has 'code/evil.py', which the lock does not name"),
    ],
)
def test_a_source_that_is_not_the_locks_is_not_converted(
    bench: Bench, path: str, content: bytes | None, message: str
) -> None:
    file = bench.layout.source / path
    file.parent.mkdir(exist_ok=True)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        run_job(bench)
    assert not bench.layout.output.exists()


def test_a_text_with_another_hash_is_refused(bench: Bench) -> None:
    bench.layout.text(sha256(TEXT)).write_bytes(b"another text")
    with pytest.raises(SourceError, match="is missing, or has another sha256"):
        run_job(bench, evaluation_sha256=sha256(TEXT))


@pytest.mark.parametrize(
    ("tool", "script", "message"),
    [
        (
            "llama-quantize",
            "echo no memory; exit 1",
            "quantise: llama-quantize ended with status 1: no memory",
        ),
        ("llama-quantize", "printf '10 %%\\r99 %%\\n'; exit 1", "ended with status 1: 99 %"),
        ("llama-quantize", "kill -9 $$", "quantise: llama-quantize was ended by signal 9: it wrote nothing"),
        ("llama-quantize", "echo sorry", "llama-quantize ended well and wrote no small-Q4_K_M.gguf: sorry"),
        ("llama-perplexity", "echo nan", "llama-perplexity ended well and told no perplexity: nan"),
    ],
)
def test_a_tool_that_fails_leaves_no_manifest(bench: Bench, tool: str, script: str, message: str) -> None:
    bench.write_tool(tool, script)
    with pytest.raises(ToolError, match=message):
        run_job(bench, evaluation_sha256=sha256(TEXT))
    assert not (bench.layout.output / "manifest.json").exists()


def test_a_missing_tool_is_named(bench: Bench) -> None:
    (bench.programs / "convert_hf_to_gguf.py").unlink()
    with pytest.raises(ToolError, match=r"convert: convert_hf_to_gguf.py can't be started: No such file"):
        run_job(bench)


def test_an_image_of_another_method_refuses_the_request(bench: Bench) -> None:
    bench.ask(request())
    with pytest.raises(RequestError, match="this image makes exl2, the request asks for gguf"):
        run(bench.layout, {**bench.environment, "QUANTISE_METHOD": "exl2"}, lambda *_, **__: None)


def test_output_that_can_not_be_made_is_an_error_in_words(bench: Bench) -> None:
    bench.layout.output.write_text("a file in its place")
    with pytest.raises(QuantiseError, match="can't be made"):
        run_job(bench)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "awq"}, "the request's method is 'awq', expected gguf or exl2 or gptq"),
        ({"type": None}, "the request lacks `type` for the method gguf"),
        ({"bits": 4.0}, "the request has `bits` for the method gguf"),
        ({**GPTQ, "seed": None}, "the request lacks `seed` for the method gptq"),
        (GPTQ, "the request lacks `calibration_sha256` for the method gptq"),
        ({"files": []}, "expected a list of at least one file"),
        ({"files": [{"path": "a"}]}, "a file lacks size, sha256"),
        ({"surprise": 1}, "the request has surprise"),
    ],
)
def test_a_wrong_request_is_refused(change: dict[str, Any], message: str) -> None:
    fields = {**json.loads(request().to_json()), **change}
    with pytest.raises(RequestError, match=message):
        Request.from_json(json.dumps(fields))


def test_the_converter_of_exllamav2_is_told_bits_and_folders() -> None:
    layout = Layout(Path("/opt/ml/processing"))
    prepare, step = exl2.steps(request(method="exl2", type=None, bits=4.0), layout)
    assert prepare.command[-2:] == ("/opt/ml/processing/input/source", "/opt/ml/processing/work/source")
    assert step.command[:4] == ("python3", "-m", "exllamav2.conversion.convert_exl2", "-nr")
    options = dict(zip(step.command[4::2], step.command[5::2], strict=True))
    assert options == {
        "-i": "/opt/ml/processing/work/source",
        "-o": "/opt/ml/processing/work/exl2",
        "-cf": "/opt/ml/processing/output/files",
        "-b": "4",
        "-hb": "6",
    }


def test_gptqmodel_is_told_text_groups_and_seed() -> None:
    layout = Layout(Path("/x"))
    asked = request(**GPTQ, calibration_sha256="c" * 64, evaluation_sha256="e" * 64)
    steps = gptq.steps(asked, layout)
    assert [step.name for step in steps] == ["prepare", "perplexity before", "quantise", "perplexity after"]
    assert steps[2].command[2:5] == ("quant_llm_quantise.programs.gptq", "/x/work/source", "/x/output/files")
    options = dict(zip(steps[2].command[5::2], steps[2].command[6::2], strict=True))
    assert options == {
        "--text": f"/x/input/texts/{'c' * 64}.txt",
        "--group-size": "64",
        "--seed": "7",
        "--work": "/x/work/gptq",
    }


@pytest.mark.parametrize("method", [exl2, gptq])
def test_exllamav2_measures_the_source_first_and_then_what_it_is_to_serve(method: ModuleType) -> None:
    asked = {exl2: request(method="exl2", type=None, bits=4.0), gptq: request(**GPTQ)}[method]
    asked = dataclasses.replace(asked, calibration_sha256="c" * 64, evaluation_sha256="e" * 64)
    measured = {step.perplexity: step for step in method.steps(asked, Layout(Path("/x"))) if step.perplexity}
    text = f"/x/input/texts/{'e' * 64}.txt"
    assert measured["before"].command[3:] == ("/x/work/source", text)
    assert measured["after"].command[3:] == ("/x/output/files", text)
    for step in measured.values():
        assert step.reads is not None
        assert step.reads.search("perplexity: 12.3456")
        assert not step.reads.search("perplexity: nan")


def test_without_texts_there_are_two_steps() -> None:
    names = [step.name for step in gguf.steps(request(), Layout(Path("/x")))]
    assert names == ["convert", "quantise"]


def environment_of(bench: Bench) -> dict[str, str]:
    package = str(Path(quant_llm_quantise.__file__).parents[1])
    return {
        **os.environ,
        **bench.environment,
        "QUANTISE_ROOT": str(bench.layout.root),
        "PYTHONPATH": package,
    }


def entrypoint(bench: Bench) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quant_llm_quantise"],
        env=environment_of(bench),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_stopped_job_takes_its_tool_along(bench: Bench) -> None:
    bench.ask(request())
    bench.write_tool("convert_hf_to_gguf.py", "echo $$; exec sleep 60")
    job = subprocess.Popen(
        [sys.executable, "-m", "quant_llm_quantise"], env=environment_of(bench), stdout=subprocess.PIPE
    )
    with job:
        assert job.stdout is not None
        said = (json.loads(line) for line in job.stdout)
        tool = next(int(line["message"]) for line in said if "step" in line)
        job.terminate()
        assert job.wait(20) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(tool, 0)


def test_the_entrypoint_tells_its_steps_as_json_lines(bench: Bench) -> None:
    bench.ask(request())
    done = entrypoint(bench)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line)["message"] for line in done.stdout.splitlines()]
    assert "step 2 of 2: quantise" in said


def test_the_entrypoint_leaves_the_reason_where_sagemaker_looks(bench: Bench) -> None:
    bench.ask(request())
    (bench.layout.source / "config.json").write_bytes(b"[]")
    assert entrypoint(bench).returncode == 3
    message = bench.layout.root.parent / "output" / "message"
    assert message.read_text().startswith("config.json: got the sha256")
