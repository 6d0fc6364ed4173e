"""The quantisations in a repository of the hub: each GGUF or shard set, each folder of safetensors."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from quant_llm.agency import Engine
from quant_llm.catalogue import Workload, engines_of
from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.hub import HubRepository, ModelRepository
from quant_llm_tools.lock.resolve import read_shape
from quant_llm_tools.lock.selection import HubFile, gguf_sets, select_files, weight_files
from quant_llm_tools.plan.subject import LeftOut, Quantization, Subject, Wishes

DEFAULT_REGION = "us-east-1"
DEFAULT_CONTEXT = 4096
DEFAULT_CONCURRENCY = 4

BASELINE: Engine = "tgi"
"""The engine that is there to compare with: it is planned for only where it is asked for."""

_READERS = 4
"""Headers that are read at a time: each is some megabytes, in several requests."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Weights:
    """The files of one quantisation, before anything is read; paths are below `folder`."""

    name: str
    folder: str
    engine: Engine
    patterns: tuple[str, ...]


def hub_subject(name: str, revision: str, wishes: Wishes, progress: Progress) -> Subject:
    """Everything in a repository that can be planned for; QuantLlmError when that is nothing."""
    with HubRepository(name, revision, notice=progress) as repository:
        commit, found, left_out = quantizations(repository, progress)
    taken = [
        one
        for one in found
        if one.engine == wishes.engine or (wishes.engine is None and one.engine != BASELINE)
    ]
    if not taken:
        raise QuantLlmError(f"{name!r} has {_nothing(found, left_out, wishes.engine)}")
    longest = min(one.shape.context_length for one in taken)
    context_length = wishes.context_length or min(DEFAULT_CONTEXT, longest)
    return Subject(
        name=name,
        repository=name,
        revision=revision,
        commit=commit,
        region=wishes.region or DEFAULT_REGION,
        workloads=tuple(
            (one, _workload(one, context_length, wishes.concurrency or DEFAULT_CONCURRENCY)) for one in taken
        ),
        left_out=tuple(left_out),
    )


def quantizations(
    repository: ModelRepository, progress: Progress
) -> tuple[str, list[Quantization], list[LeftOut]]:
    """The commit, the quantisations at it for each engine that runs them, and the weights that are none."""
    commit = repository.resolve()
    listing = repository.files(commit)
    weights = [*_ggufs(listing), *_folders(listing)]
    progress(f"commit {commit[:12]}: reading the headers of {len(weights)} in {len(listing)} files")

    def read(one: _Weights) -> list[Quantization] | LeftOut:
        try:
            return _read(repository, commit, listing, one, progress)
        except QuantLlmError as error:
            return LeftOut(one.name, str(error).removeprefix(f"{one.name}: "))

    with ThreadPoolExecutor(_READERS) as readers:
        results = list(readers.map(read, weights))
    found = [one for result in results if not isinstance(result, LeftOut) for one in result]
    return commit, found, [result for result in results if isinstance(result, LeftOut)]


def _ggufs(listing: Sequence[HubFile]) -> Iterator[_Weights]:
    for name, files in gguf_sets(listing).items():
        yield _Weights(name, "", "llama.cpp", tuple(glob.escape(file.path) for file in files))


def _folders(listing: Sequence[HubFile]) -> Iterator[_Weights]:
    """Folders with weights right in them; without a config.json reading them says what is missing."""
    for folder in sorted({_folder(file.path) for file in weight_files(listing, "vllm")}):
        yield _Weights(folder or "the repository's root", folder, "vllm", ())


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _read(
    repository: ModelRepository,
    commit: str,
    listing: Sequence[HubFile],
    weights: _Weights,
    progress: Progress,
) -> list[Quantization]:
    if weights.folder:
        repository = _Below(repository, weights.folder)
        listing = repository.below(listing)
    chosen = select_files(listing, weights.engine, weights.patterns)
    shape = read_shape(repository, commit, chosen, weights.engine, progress)
    engines = engines_of(shape)
    if not engines:
        raise QuantLlmError(f"no engine reads weights in {shape.quantization}")
    gguf = shape.format == "gguf"
    return [
        Quantization(
            engine=engine,
            shape=shape,
            weight_bytes=sum(file.size for file in weight_files(chosen, weights.engine)),
            total_bytes=sum(file.size for file in chosen),
            files=(weights.name,) if gguf else (),
            place=weights.name if gguf else weights.folder,
            notes=("`quantllm lock` takes such weights from the root only",) if weights.folder else (),
        )
        for engine in engines
    ]


@dataclass(frozen=True)
class _Below:
    """A folder of a repository as if it were one: config.json and weights are at its root."""

    repository: ModelRepository
    folder: str

    def below(self, listing: Sequence[HubFile]) -> list[HubFile]:
        """The files of the folder by their paths in it."""
        prefix = f"{self.folder}/"
        return [
            dataclasses.replace(file, path=file.path.removeprefix(prefix))
            for file in listing
            if file.path.startswith(prefix)
        ]

    def resolve(self) -> str:
        return self.repository.resolve()

    def files(self, commit: str) -> list[HubFile]:
        return self.below(self.repository.files(commit))

    def read(self, commit: str, file: HubFile, start: int, end: int) -> bytes:
        whole = dataclasses.replace(file, path=f"{self.folder}/{file.path}")
        return self.repository.read(commit, whole, start, end)


def _workload(one: Quantization, context_length: int, concurrency: int) -> Workload:
    return Workload(
        engine=one.engine,
        shape=one.shape,
        weight_bytes=one.weight_bytes,
        total_bytes=one.total_bytes,
        context_length=context_length,
        concurrency=concurrency,
    )


def _nothing(found: Sequence[Quantization], left_out: Sequence[LeftOut], engine: Engine | None) -> str:
    if found:
        engines = ", ".join(sorted({one.engine for one in found}))
        return f"nothing that runs on {engine}, only on {engines}"
    if left_out:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in left_out[:3])
        return f"no weights that can be planned for: {reasons}"
    return "no GGUF and no safetensors weights"
