"""What is planned: a model in the quantisations that there are of it, and what is asked of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quant_llm.agency import Engine, ModelShape
from quant_llm.catalogue import Workload


@dataclass(frozen=True)
class Quantization:
    """One quantisation of a model at the hub, and an engine that runs it.

    `files` is what `source.files` must be; () when the default takes them. `place` names them for people.
    """

    engine: Engine
    shape: ModelShape
    weight_bytes: int
    total_bytes: int
    files: tuple[str, ...] = ()
    place: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """Weights of a repository that can't be planned for, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Subject:
    """A model to plan for. `asked` is the instance type of its agency file, which may be `auto`."""

    name: str
    repository: str
    revision: str
    commit: str
    region: str
    workloads: tuple[tuple[Quantization, Workload], ...]
    left_out: tuple[LeftOut, ...] = ()
    least_instances: int = 1
    most_instances: int = 1
    asked: str | None = None
    quotas: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Wishes:
    """What the command line asks for in place of the file's values or the defaults; None: nothing."""

    region: str | None = None
    context_length: int | None = None
    concurrency: int | None = None
    engine: Engine | None = None
