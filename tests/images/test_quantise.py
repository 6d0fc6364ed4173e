"""The image of quantise jobs without CUDA, and so without the engine: how far a job comes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quant_llm_quantise.request import Layout, Request
from tests.images.podman import QUANTISE_EXL2, run_job
from tests.unit.quantise.conftest import SOURCE, request

EXL2 = {"method": "exl2", "type": None, "bits": 4.0}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """The folders of a job below `tmp_path`/ml, with its source."""
    layout = Layout(tmp_path / "ml" / "processing")
    layout.source.mkdir(parents=True)
    for path, content in SOURCE.items():
        (layout.source / path).write_bytes(content)
    return layout


def run(layout: Layout, asked: Request) -> tuple[int, str, str]:
    """Exit code, log and message of a job; all its folders are the user's that the image names."""
    layout.request.parent.mkdir()
    layout.request.write_text(asked.to_json())
    folder = layout.root.parent
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 990, 990)
    status, log = run_job(QUANTISE_EXL2, folder)
    message = folder / "output" / "message"
    assert message.stat().st_uid == 990, log
    return status, log, message.read_text()


def test_a_request_for_another_image_is_refused_by_name(layout: Layout) -> None:
    status, log, message = run(layout, request())
    assert (status, message) == (2, "this image makes exl2, the request asks for gguf"), log
    assert not layout.work.exists()


def test_a_source_that_is_not_the_locks_is_not_converted(layout: Layout) -> None:
    (layout.source / "model.safetensors").write_bytes(b"other weights")
    status, log, message = run(layout, request(**EXL2))
    assert status == 3, log
    assert message.startswith("model.safetensors: got the sha256")


def test_a_job_runs_until_the_engine_that_only_cuda_has(layout: Layout) -> None:
    status, log, message = run(layout, request(**EXL2))
    assert status == 4, log
    assert "step 1 of 2: prepare" in log
    assert (layout.work / "source" / "config.json").exists()
    assert message.startswith("convert: python3 ended with status 1")
    assert "No module named 'exllamav2'" in message
    assert not (layout.output / "manifest.json").exists()
