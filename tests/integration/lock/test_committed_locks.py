"""The locks in the repository are what `quantllm lock` makes of their agency files, byte for byte.

After a change that is meant: `quantllm local up`, `eval "$(quantllm local env)"`, `quantllm lock agencies
tests/fixtures/agencies`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quant_llm.agency import AgencyLock
from quant_llm.paths import ROOT
from quant_llm_tools.cli import main
from quant_llm_tools.local_aws.hub import HubServer

FIXTURES = ROOT / "tests" / "fixtures" / "agencies"
COMMITTED = [
    ROOT / "agencies" / "default.lock.json",
    *(FIXTURES / f"{agency}.lock.json" for agency in ("default", "health", "justice")),
]

# Parameters as their publishers count them; bits per weight of the formats, scales included.
TRUE_SHAPES = {
    "smollm2-135m": (134_515_008, 5.85),
    "mistral-7b": (7_241_732_096, 4.83),
    "codellama-34b": (33_743_970_304, 4.10),
    "llama3-70b-awq": (70_553_706_496, 4.51),
}


@pytest.mark.parametrize("committed", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_lock_comes_out_the_same_again(hub: HubServer, tmp_path: Path, committed: Path) -> None:
    source = committed.with_name(committed.name.replace(".lock.json", ".yaml"))
    path = Path(shutil.copy(source, tmp_path))
    assert main(["lock", str(path)]) == 0
    assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()


@pytest.mark.parametrize("committed", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_lock_fits_its_file_without_a_hub(monkeypatch: pytest.MonkeyPatch, committed: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert (
        main(["lock", "--check", str(committed.with_name(committed.name.replace(".lock.json", ".yaml")))])
        == 0
    )


def test_parameters_are_the_true_ones() -> None:
    shapes = {
        name: (model.shape.parameters, round(model.shape.bits_per_weight, 2))
        for committed in COMMITTED
        for name, model in AgencyLock.read(committed).models.items()
    }
    assert shapes == TRUE_SHAPES


def test_only_headers_of_the_weights_are_read(hub: HubServer, tmp_path: Path) -> None:
    path = Path(shutil.copy(FIXTURES / "health.yaml", tmp_path))
    assert main(["lock", str(path)]) == 0
    from_cdn = [request for request in hub.requests if request.path.startswith("/cdn/")]
    assert from_cdn
    assert all(request.range and not request.authorized for request in from_cdn)
    assert sum(request.bytes for request in hub.requests) < 12_000_000  # of 61 GB
