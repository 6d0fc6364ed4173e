"""Quantise jobs with their real tools: `python3 -m benchmarks.gpu.quantise <source> <work> <results> …`.

Each job is the image's own entrypoint over the folders that SageMaker lays out; nothing is replaced.
`source` is a Hugging Face directory. The machine has what the image of the method has: llama.cpp's tools on
PATH for gguf, exllamav2 with its compiled module for exl2, and gptqmodel beside them for gptq.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quant_llm_quantise.files import describe
from quant_llm_quantise.request import MANIFEST, Layout, Manifest, Request

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "gguf": {"type": "Q4_K_M"},
    "exl2": {"bits": 4.0},
    "gptq": {"bits": 4.0, "group_size": 64, "seed": 0},
}
"""What is made; SmolLM2's 576 inputs are no multiple of 128."""

CALIBRATED = ("gguf", "gptq")
"""The methods that calibrate on a text of the recipe."""


def run_job(method: str, source: Path, root: Path, calibration: bytes, evaluation: bytes | None) -> Manifest:
    """Lay out a job below `root`, run it, and return its answer; its output goes to `root`/log."""
    layout = Layout(root)
    texts = {} if evaluation is None else {"evaluation_sha256": evaluation}
    if method in CALIBRATED:
        texts["calibration_sha256"] = calibration
    hashes: dict[str, Any] = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
    layout.source.parent.mkdir(parents=True)
    layout.source.symlink_to(source)
    for name, text in texts.items():
        layout.text(hashes[name]).parent.mkdir(exist_ok=True)
        layout.text(hashes[name]).write_bytes(text)
    request = Request(
        name="smollm2",
        method=method,
        repository=source.name,
        commit="0" * 40,
        files=describe(source),
        **RECIPES[method],
        **hashes,
    )
    layout.request.parent.mkdir()
    layout.request.write_text(request.to_json(), encoding="utf-8")
    environment = {**os.environ, "QUANTISE_ROOT": str(root), "QUANTISE_METHOD": method, "HF_HUB_OFFLINE": "1"}
    with (root / "log").open("wb") as log:
        command = [sys.executable, "-m", "quant_llm_quantise"]
        done = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    if done.returncode != 0:
        last = (root / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        raise RuntimeError(f"the job {method} ended with status {done.returncode}: {' | '.join(last)}")
    return Manifest.from_json((layout.output / MANIFEST).read_text(encoding="utf-8"))


def row(manifest: Manifest) -> dict[str, Any]:
    """What the results tell of a job."""
    weights = [file for file in manifest.files if file.path.endswith((".gguf", ".safetensors"))]
    unquantised = [file for file in manifest.request.files if file.path.endswith(".safetensors")]
    return {
        "recipe": RECIPES[manifest.request.method],
        "perplexity": dict(manifest.perplexity),
        "weights_bytes": sum(file.size for file in weights),
        "unquantised_bytes": sum(file.size for file in unquantised),
        "seconds": manifest.seconds,
        "tools": dict(manifest.tools),
        "files": [dataclasses.asdict(file) for file in manifest.files],
    }


def _machine() -> dict[str, str]:
    """When and where a number was taken; the tools' versions are in the job's answer."""
    processor = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    gpu = "none"
    if program := shutil.which("nvidia-smi"):
        command = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
        gpu = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": f"{os.cpu_count()} x {processor[1] if processor else platform.machine()}",
        "gpu and driver": gpu,
        "python": platform.python_version(),
    }


def main() -> None:
    """Run the jobs that the command line names, and write what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="the unquantised model's directory")
    parser.add_argument(
        "work", type=Path, help="a new folder for the jobs; each result is in <method>/output/files"
    )
    parser.add_argument("results", type=Path, help="the JSON file to write, or to add to")
    parser.add_argument("--calibration", type=Path, required=True, help="a text")
    parser.add_argument("--evaluation", type=Path, help="another text; without it no perplexity")
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES))
    arguments = parser.parse_args()
    calibration = arguments.calibration.read_bytes()
    evaluation = None if arguments.evaluation is None else arguments.evaluation.read_bytes()
    known = json.loads(arguments.results.read_text(encoding="utf-8")) if arguments.results.exists() else {}
    failed = []
    for method in arguments.methods:
        try:
            made = run_job(
                method, arguments.source.resolve(), arguments.work.resolve() / method, calibration, evaluation
            )
        except RuntimeError as error:
            failed.append(str(error))
            continue
        known[method] = {
            **row(made),
            **_machine(),
            "calibration_sha256": made.request.calibration_sha256,
            "evaluation_sha256": made.request.evaluation_sha256,
        }
        arguments.results.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        print(
            json.dumps({"method": method, "perplexity": made.perplexity, "seconds": made.seconds}), flush=True
        )
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
