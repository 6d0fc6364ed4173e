"""One job, from the request to the manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from quant_llm_quantise import exl2, files, gguf, gptq, tools
from quant_llm_quantise.errors import QuantiseError, RequestError, SourceError
from quant_llm_quantise.request import MANIFEST, Layout, Manifest, Request

LLAMA_CPP_VERSION = "LLAMA_CPP_REF"
"""The variable in which an image has the version of llama.cpp's tools; only that of gguf has the tools."""

METHOD = "QUANTISE_METHOD"
"""The variable that says what the image was built for."""

_METHODS = {"gguf": gguf, "exl2": exl2, "gptq": gptq}


def run(
    layout: Layout,
    environment: Mapping[str, str],
    tell: tools.Tell,
    clock: Callable[[], float] = time.monotonic,
) -> Manifest:
    """Verify, convert, measure, and write the manifest last. QuantiseError says what is wrong."""
    began = clock()
    try:
        request = Request.from_json(layout.request.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{layout.request} can't be read: {error.strerror}") from None
    if environment.get(METHOD) not in (None, request.method):
        raise RequestError(f"this image makes {environment[METHOD]}, the request asks for {request.method}")
    tell(f"verifying {len(request.files)} files of {request.repository} at {request.commit[:12]}")
    files.verify(layout.source, request.files)
    for sha256 in filter(None, (request.calibration_sha256, request.evaluation_sha256)):
        if not layout.text(sha256).is_file() or files.sha256_of(layout.text(sha256)) != sha256:
            raise SourceError(f"the text {sha256}.txt is missing, or has another sha256")
    try:
        layout.work.mkdir(parents=True, exist_ok=True)
        layout.files.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QuantiseError(f"{error.filename} can't be made: {error.strerror}") from None
    method = _METHODS[request.method]
    perplexity: dict[str, float] = {}
    steps = method.steps(request, layout)
    for number, step in enumerate(steps, 1):
        tell(f"step {number} of {len(steps)}: {step.name}")
        measured = tools.run(step, environment, tell)
        if step.perplexity is not None and measured is not None:
            perplexity[step.perplexity] = measured
    manifest = Manifest(
        request=request,
        files=files.describe(layout.files),
        tools=_versions(request.method, environment),
        perplexity=perplexity,
        seconds=round(clock() - began, 1),
    )
    (layout.output / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    tell(f"made {len(manifest.files)} files of {sum(file.size for file in manifest.files)} bytes")
    return manifest


def _versions(method: str, environment: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for package in _METHODS[method].PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # an image for tests on CPUs has no torch
    if method == "gguf" and LLAMA_CPP_VERSION in environment:
        found["llama.cpp"] = environment[LLAMA_CPP_VERSION]
    return found
