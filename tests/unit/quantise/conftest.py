"""A job's folders with a small source, and tools on PATH that do as little as they can."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from quant_llm_quantise.request import File, Layout, Request

SOURCE = {"config.json": b"{}", "model.safetensors": b"whole weights"}
TEXT = b"Some words to measure with.\n"

TOOLS = {
    "convert_hf_to_gguf.py": 'printf "converted " >"$3"; cat "$1/model.safetensors" >>"$3"',
    "llama-imatrix": 'cat "$4" >"$6"',
    "llama-quantize": """
matrix=
if [ "$1" = --imatrix ]; then matrix=" with $(cat "$2")"; shift 2; fi
printf "%s of %s%s" "$3" "$(cat "$1")" "$matrix" >"$2"
""",
    "llama-perplexity": """
echo "perplexity: calculating" >&2
case $2 in *unquantised*) ppl=7.5000;; *) ppl=7.8125;; esac
echo "Final estimate: PPL = $ppl +/- 0.05000"
""",
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Bench:
    """The folders of one job, and a PATH that has its tools."""

    layout: Layout
    programs: Path

    def write_tool(self, name: str, script: str) -> None:
        program = self.programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def ask(self, request: Request) -> None:
        self.layout.request.parent.mkdir(parents=True, exist_ok=True)
        self.layout.request.write_text(request.to_json())

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PATH": f"{self.programs}:{os.defpath}", "LLAMA_CPP_REF": "b11549"}


def request(**changes: object) -> Request:
    fields: dict[str, object] = {
        "name": "small",
        "method": "gguf",
        "type": "Q4_K_M",
        "repository": "owner/small",
        "commit": "a" * 40,
        "files": tuple(
            File(path=path, size=len(content), sha256=sha256(content)) for path, content in SOURCE.items()
        ),
    }
    return Request(**{**fields, **changes})  # type: ignore[arg-type] # a test's own fields


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    layout = Layout(tmp_path / "ml" / "processing")
    layout.source.mkdir(parents=True)
    for path, content in SOURCE.items():
        (layout.source / path).write_bytes(content)
    layout.text(sha256(TEXT)).parent.mkdir()
    layout.text(sha256(TEXT)).write_bytes(TEXT)
    made = Bench(layout, tmp_path / "bin")
    made.programs.mkdir()
    for name, script in TOOLS.items():
        made.write_tool(name, script)
    return made
