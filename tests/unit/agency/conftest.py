"""Agency files made for a test from a good one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = """\
agency: moh
environment:
  account: "123456789012"
  region: us-east-1
tags: {cost-centre: "H-1"}
permissions_boundary: arn:aws:iam::123456789012:policy/Boundary
network:
  vpc_id: vpc-0a1b2c3d
  subnet_ids: [subnet-0a1b2c3d, subnet-1a1b2c3d]
  security_group_ids: [sg-0a1b2c3d]
models:
  - name: chat
    source:
      hub: owner/some-GGUF
      revision: main
      files: ["*Q4_K_M.gguf"]
      token_secret: hf-token
    engine: llama.cpp
    image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/llama:v1
    instance_type: ml.g4dn.xlarge
    context_length: 2048
    concurrency: 4
    scaling:
      min: 1
      max: 2
      schedule:
        - {cron: "0 8 ? * MON-FRI *", timezone: Asia/Singapore, min: 2, max: 4}
    environment: {LLAMA_ARG_FLASH_ATTN: "on"}
"""


@pytest.fixture
def examples() -> Path:
    """The folder of the example agency files."""
    return Path(__file__).parents[2] / "fixtures" / "agencies"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes agencies/moh.yaml (or another path) in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def _write(text: str, path: str = "agencies/moh.yaml") -> Path:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
        return Path(path)

    return _write


@pytest.fixture
def good(write: Callable[..., Path]) -> Path:
    """A good file that says most of what a file can say."""
    return write(GOOD)


@pytest.fixture
def change(good: Path) -> Callable[[str, str], Path]:
    """The good file with one text replaced, which must be in it once."""

    def _change(old: str, new: str) -> Path:
        text = good.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in the file"
        good.write_text(text.replace(old, new))
        return good

    return _change
