"""What a job is asked for and what it answers: the forms that `quantllm quantise` and the container share.

A job has the folders of `Layout` below one root, which SageMaker fills before it and saves after it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quant_llm_quantise.errors import RequestError

METHODS = ("gguf", "exl2", "gptq")
"""What an image can make; each is built for one of them."""

_SETTINGS: Mapping[str, set[str]] = {
    "gguf": {"type"},
    "exl2": {"bits"},
    "gptq": {"bits", "group_size", "seed"},
}

MANIFEST = "manifest.json"
"""The name of the job's answer in its output. It is written last."""

FILES = "files"
"""The folder of the output that holds the model's files, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file by its path from the model's folder, its bytes and their sha256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One job; the texts are named by the sha256 of their bytes.

    `type` is of gguf, `bits` of exl2 and gptq, `group_size` (in inputs of a layer) and `seed` of gptq.
    """

    name: str
    method: str
    repository: str
    commit: str
    files: tuple[File, ...]
    type: str | None = None
    bits: float | None = None
    group_size: int | None = None
    seed: int | None = None
    calibration_sha256: str | None = None
    evaluation_sha256: str | None = None

    def to_json(self) -> str:
        """The text of `request.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Read `request.json`; RequestError when it is not of this form."""
        fields = _object(text, "the request")
        request: Request = _make(cls, {**fields, "files": _files(fields.get("files"))}, "the request")
        if request.method not in METHODS:
            raise RequestError(f"the request's method is {request.method!r}, expected {' or '.join(METHODS)}")
        for name in sorted(set().union(*_SETTINGS.values())):
            wanted = name in _SETTINGS[request.method]
            if wanted is (getattr(request, name) is None):
                words = "lacks" if wanted else "has"
                raise RequestError(f"the request {words} `{name}` for the method {request.method}")
        if request.method == "gptq" and request.calibration_sha256 is None:
            raise RequestError("the request lacks `calibration_sha256` for the method gptq")
        return request


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a job made of a request, with the versions of its tools, and the perplexity where it was asked."""

    request: Request
    files: tuple[File, ...]
    tools: Mapping[str, str]
    perplexity: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read `manifest.json`; RequestError when it is not of this form."""
        fields = _object(text, "the manifest")
        request = Request.from_json(json.dumps(fields.get("request")))
        fields |= {"request": request, "files": _files(fields.get("files"))}
        manifest: Manifest = _make(cls, fields, "the manifest")
        return manifest


@dataclass(frozen=True)
class Layout:
    """The job's folders. `root` is `/opt/ml/processing` in SageMaker; what is in `output` is saved."""

    root: Path

    @property
    def request(self) -> Path:
        """The request's text."""
        return self.root / "input" / "request" / "request.json"

    @property
    def source(self) -> Path:
        """The unquantised weights."""
        return self.root / "input" / "source"

    def text(self, sha256: str) -> Path:
        """A text for calibration or evaluation."""
        return self.root / "input" / "texts" / f"{sha256}.txt"

    @property
    def work(self) -> Path:
        """What only the job needs; on the volume, which is large enough, not on the root disk."""
        return self.root / "work"

    @property
    def output(self) -> Path:
        """What is saved."""
        return self.root / "output"

    @property
    def files(self) -> Path:
        """The quantised model's folder."""
        return self.output / FILES


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError:
        raise RequestError(f"{what} is not JSON") from None
    if not isinstance(fields, dict):
        raise RequestError(f"{what} is not a JSON object")
    return fields


def _files(value: Any) -> tuple[File, ...]:
    if not isinstance(value, list) or not value:
        raise RequestError(f"expected a list of at least one file, got {value!r}")
    return tuple(_make(File, one, "a file") for one in value)


def _make(kind: Any, fields: Any, what: str) -> Any:
    """An object of a dataclass; RequestError names what is missing or unknown."""
    known = {one.name: one for one in dataclasses.fields(kind)}
    if not isinstance(fields, dict):
        raise RequestError(f"{what} is not a JSON object: {fields!r}")
    missing = [
        name
        for name, one in known.items()
        if name not in fields
        and one.default is dataclasses.MISSING
        and one.default_factory is dataclasses.MISSING
    ]
    unknown = sorted(set(fields) - set(known))
    if missing or unknown:
        words = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(unknown)}"] * bool(
            unknown
        )
        raise RequestError(f"{what} {' and '.join(words)}, expected {', '.join(known)}")
    return kind(**fields)
