"""An agency file that is good and fits, and its lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant_llm.agency import AgencyLock, LockedFile, LockedSource, ModelLock, lock_path
from tests.unit.catalogue.models import shape

GOOD = """\
agency: moh
environment: {account: "123456789012", region: us-east-1}
models:
  - name: chat
    source: {hub: owner/some-GGUF}
    engine: llama.cpp
    instance_type: ml.g5.xlarge
    context_length: 4096
    concurrency: 4
    scaling:
      min: 1
      max: 2
"""


@pytest.fixture
def examples() -> Path:
    """The folder of the example agency files and their locks."""
    return Path(__file__).parents[2] / "fixtures" / "agencies"


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """agencies/moh.yaml with Mistral 7B in Q4_K_M, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    path = Path("agencies/moh.yaml")
    path.parent.mkdir()
    path.write_text(GOOD)
    write_lock(path)
    return path


@pytest.fixture
def change(good: Path) -> Callable[..., Path]:
    """The good file with texts replaced, each of which must be in it once."""

    def _change(*changes: tuple[str, str]) -> Path:
        text = good.read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the file"
            text = text.replace(old, new)
        good.write_text(text)
        return good

    return _change


def write_lock(path: Path, weights: int = 4_368_439_584) -> None:
    """The lock of the models `chat` and `more`, of so many bytes each."""
    lock = ModelLock(
        source=LockedSource(hub="owner/some-GGUF", revision="main", files=[]),
        commit="a" * 40,
        files=[LockedFile(path="some-Q4_K_M.gguf", size=weights, sha256="b" * 64)],
        shape=shape(),
    )
    models = {"chat": lock, "more": lock}
    lock_path(path).write_text(AgencyLock(agency="moh", models=models).to_json())
