"""The lock file: what `quantllm lock` resolved, and all that synth knows about the weights.

`agencies/<agency>.lock.json` is written sorted and indented, so that a pull request shows a change of weights
line by line. Synth reads it and nothing else: no hub, no network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from quant_llm.errors import QuantLlmError
from quant_llm.json_file import read_json_file
from quant_llm_repack.errors import RequestError
from quant_llm_repack.request import SourceFile, check_clashes

LOCK_VERSION: Final = 1
_REMEDY = "`quantllm lock` writes the file, nobody else: run it again"

VLLM_LORA_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for; an adapter of a rank between takes the next."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LockedSource(_Frozen):
    """What the agency file asked for when the lock was made; a difference means that the lock is stale."""

    hub: str
    revision: str
    files: list[str]
    quantised: Annotated[str | None, Field(exclude_if=lambda name: name is None)] = None


class LockedFile(_Frozen):
    """One file of the artifact: its path in the repository, its bytes and their sha256."""

    path: str
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class ModelShape(_Frozen):
    """The dimensions that the sizing needs, read from the GGUF or safetensors header and config.json.

    `bits_per_weight` is bytes of the weight files x 8 / `parameters`, embeddings and scales included.
    `context_length` is the longest that the model was trained for, in tokens. `separate_embedding_bytes` is
    the size of the token embedding in safetensors files that have an output layer of its own; 0 when the two
    share their weights, and for GGUF.
    """

    format: Literal["gguf", "safetensors", "exl2"]
    architecture: str
    quantization: str
    parameters: Annotated[int, Field(gt=0)]
    bits_per_weight: Annotated[float, Field(gt=0)]
    layers: Annotated[int, Field(gt=0)]
    attention_heads: Annotated[int, Field(gt=0)]
    key_value_heads: Annotated[int, Field(gt=0)]
    head_size: Annotated[int, Field(gt=0)]
    embedding_size: Annotated[int, Field(gt=0)]
    vocabulary_size: Annotated[int, Field(gt=0)]
    context_length: Annotated[int, Field(gt=0)]
    separate_embedding_bytes: Annotated[int, Field(ge=0, exclude_if=lambda size: size == 0)] = 0


class AdapterShape(_Frozen):
    """What a LoRA adapter is, read from its header or its adapter_config.json.

    `base` is what it says that it is for: a GGUF the architecture, one in PEFT's form the model's name.
    """

    format: Literal["gguf", "safetensors"]
    base: str
    rank: Annotated[int, Field(gt=0)]


class AdapterLock(_Frozen):
    """One adapter: the commit that the revision resolved to, its files by their paths in the repository."""

    source: LockedSource
    commit: Commit
    files: Annotated[list[LockedFile], Field(min_length=1)]
    shape: AdapterShape

    def artifact_path(self, name: str, file: LockedFile) -> str:
        """Where a file lies in the model's artifact: llama.cpp is told a file, LMI looks for folders."""
        if self.shape.format == "gguf":
            return adapter_path(name)
        return f"{adapter_path(name, folder=True)}/{PurePosixPath(file.path).name}"


class ModelLock(_Frozen):
    """One model: the commit that the revision resolved to, its files in order of path, and its shape.

    `adapters` are its adapters by name, whose files are in its artifact too.
    """

    source: LockedSource
    commit: Commit
    files: Annotated[list[LockedFile], Field(min_length=1)]
    shape: ModelShape
    adapters: Annotated[dict[str, AdapterLock], Field(exclude_if=lambda adapters: not adapters)] = {}

    @property
    def artifact_files(self) -> list[LockedFile]:
        """All files of the artifact by their paths in there, in order of path."""
        adapters = [
            file.model_copy(update={"path": adapter.artifact_path(name, file)})
            for name, adapter in self.adapters.items()
            for file in adapter.files
        ]
        return sorted([*self.files, *adapters], key=lambda file: file.path)

    @property
    def digest(self) -> str:
        """Sha256 over the artifact's files' paths, sizes and hashes: the name of the artifact.

        The commit is left out on purpose: a commit that changes no weights must not roll an endpoint.
        """
        files = [file.model_dump() for file in self.artifact_files]
        canonical = json.dumps({"files": files}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def total_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.artifact_files)


def adapter_path(name: str, *, folder: bool = False) -> str:
    """Where an adapter lies in its model's artifact: a GGUF, or the folder of one in PEFT's form."""
    return f"adapters/{name}" if folder else f"adapters/{name}.gguf"


class QuantiseRecipe(_Frozen):
    """How weights were made, as far as it decides what comes out; texts are named by their sha256."""

    method: str
    type: str | None = None
    bits: float | None = None
    group_size: Annotated[int | None, Field(exclude_if=lambda size: size is None)] = None
    seed: Annotated[int | None, Field(exclude_if=lambda seed: seed is None)] = None
    calibration_sha256: Sha256 | None = None


class QuantiseResult(_Frozen):
    """What a job made: the files that a deploy takes, where they are in the agency's bucket, and of what.

    `prefix` ends in a slash. `source_digest` is that of the lock of the unquantised weights. `perplexity` has
    `before` and `after` where the recipe has a text to take it on, of the sha256 `evaluation_sha256`.
    """

    prefix: Annotated[str, Field(pattern=r"^quantised/[a-z0-9-]+/[a-z0-9-]+/files/$")]
    source_digest: Sha256
    recipe: QuantiseRecipe
    tools: dict[str, str]
    files: Annotated[list[LockedFile], Field(min_length=1)]
    shape: ModelShape
    evaluation_sha256: Sha256 | None = None
    perplexity: dict[str, float] = {}

    @property
    def job(self) -> str:
        """The name of the job that made it."""
        return self.prefix.split("/")[2]


class QuantiseLock(_Frozen):
    """One recipe: the unquantised weights as the hub has them, and the result once the job has run."""

    source: ModelLock
    result: QuantiseResult | None = None

    def model(self, name: str) -> ModelLock | None:
        """The lock of a model that serves the result of the recipe `name`; None before there is one.

        It is None as well when the unquantised weights are others than those that the result was made of.
        """
        if self.result is None or self.result.source_digest != self.source.digest:
            return None
        source = LockedSource(
            hub=self.source.source.hub, revision=self.source.source.revision, files=[], quantised=name
        )
        return ModelLock(
            source=source, commit=self.source.commit, files=self.result.files, shape=self.result.shape
        )


class AgencyLock(_Frozen):
    """The whole of `agencies/<agency>.lock.json`: one entry per model, and per recipe of `quantise`.

    A model that serves a recipe's result has no entry of its own: it has the recipe's.
    """

    version: Literal[1] = LOCK_VERSION
    agency: str
    models: dict[str, ModelLock]
    quantise: Annotated[dict[str, QuantiseLock], Field(exclude_if=lambda recipes: not recipes)] = {}

    def to_json(self) -> str:
        """Sorted, indented, with a newline at the end: the bytes of the file, the same for the same lock."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> AgencyLock:
        """Read a lock file; QuantLlmError when it is missing, no JSON, or not of this version's form.

        Files that no artifact can have, such as one twice after a merge, are refused as well.
        """
        lock = read_json_file(cls, path, remedy=_REMEDY, missing="no lock file")
        for where, files, form in lock._artifacts():
            if problem := _unfit_files(files, form):
                raise QuantLlmError(f"{path}: {where}.files: {problem}; {_REMEDY}")
        return lock

    def _artifacts(self) -> Iterator[tuple[str, list[LockedFile], str]]:
        """Each list of files that become an artifact, or a part of one, where it is, and their format."""
        for name, model in self.models.items():
            for adapter, its in model.adapters.items():
                yield f"models.{name}.adapters.{adapter}", its.files, its.shape.format
            yield f"models.{name}", model.artifact_files, model.shape.format
        for name, recipe in self.quantise.items():
            yield f"quantise.{name}.source", recipe.source.artifact_files, recipe.source.shape.format
            if recipe.result is not None:
                yield f"quantise.{name}.result", recipe.result.files, recipe.result.shape.format


def _unfit_files(files: list[LockedFile], form: str) -> str | None:
    """Why no artifact can have these files; None when one can."""
    try:
        for file in files:
            SourceFile(path=file.path, size=file.size, sha256=file.sha256)
        check_clashes(file.path for file in files)
    except RequestError as error:
        return str(error)
    if form == "gguf" and not any(file.path.endswith(".gguf") for file in files):
        return "none of them is a .gguf file"
    return None
