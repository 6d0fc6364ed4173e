"""Locks one LoRA adapter: its commit, its files, and whether it fits the model that is locked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from quant_llm.agency import (
    VLLM_LORA_RANKS,
    AdapterConfig,
    AdapterLock,
    AdapterShape,
    LockedFile,
    ModelShape,
    locked_source,
)
from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.gguf import GgufHeader, GgufTensor, read_gguf_header
from quant_llm_tools.lock.hub import ModelRepository
from quant_llm_tools.lock.resolve import Reader
from quant_llm_tools.lock.safetensors import StoredTensor, read_safetensors_header
from quant_llm_tools.lock.selection import HubFile, human_bytes, select_files, weight_files

_LAYER = re.compile(r"blk\.(\d+)\.")
# Matrices whose input is the embedding in all architectures that have them by these names.
_ON_EMBEDDING = ("attn_q.weight", "attn_k.weight", "attn_v.weight", "ffn_gate.weight", "ffn_up.weight")


_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PEFT_LAYER = re.compile(r"\.layers\.(\d+)\.")
_PEFT_ON_EMBEDDING = tuple(f".{name}_proj.lora_A.weight" for name in ("q", "k", "v", "gate", "up"))
# What vLLM refuses when it is asked to load the adapter (vllm/lora/peft_helper.py).
_REFUSED_BY_VLLM = {"modules_to_save": (None, []), "use_dora": (None, False), "bias": (None, "none")}


def lock_adapter(
    adapter: AdapterConfig,
    engine: str,
    base: ModelShape,
    repository: ModelRepository,
    progress: Callable[[str], None],
) -> AdapterLock:
    """Resolve an adapter's source at the hub, for an engine and a model of the shape `base`.

    QuantLlmError says what is wrong: not one adapter, none that the engine reads, or one of another model.
    """
    source = adapter.source
    progress(f"asking for {source.hub} at {source.revision}")
    commit = repository.resolve()
    select = _gguf if engine == "llama.cpp" else _peft
    chosen = select(repository.files(commit), source.files)
    names = ", ".join(f"{file.path} ({human_bytes(file.size)})" for file in chosen)
    progress(f"commit {commit[:12]}: {names}")
    reader = Reader(repository, commit, progress)
    weights = chosen[-1]
    try:
        if engine == "llama.cpp":
            shape = gguf_adapter_shape(reader.header(weights, read_gguf_header), base)
        else:
            shape = peft_adapter_shape(
                reader.json(chosen[0]), reader.header(weights, read_safetensors_header), base
            )
    except AdapterError as error:
        raise QuantLlmError(f"{weights.path}: {error}") from None
    return AdapterLock(
        source=locked_source(source),
        commit=commit,
        files=[
            LockedFile(path=file.path, size=file.size, sha256=file.sha256 or reader.sha256(file))
            for file in chosen
        ],
        shape=shape,
    )


class AdapterError(QuantLlmError):
    """The adapter is none that the engine loads, or another model's."""


def _gguf(listing: Sequence[HubFile], patterns: Sequence[str]) -> list[HubFile]:
    chosen = weight_files(select_files(listing, "llama.cpp", patterns), "llama.cpp")
    if len(chosen) != 1:
        raise QuantLlmError(f"an adapter is one GGUF, got {len(chosen)} shards")
    return chosen


def _peft(listing: Sequence[HubFile], patterns: Sequence[str]) -> list[HubFile]:
    """The configuration and the weights of the one adapter, from one folder."""
    found = [
        file
        for file in listing
        if PurePosixPath(file.path).name in (_CONFIG, _WEIGHTS)
        and (not patterns or any(fnmatchcase(file.path, pattern) for pattern in patterns))
    ]
    found.sort(key=lambda file: PurePosixPath(file.path).name)
    folders = {PurePosixPath(file.path).parent for file in found}
    if [PurePosixPath(file.path).name for file in found] != [_CONFIG, _WEIGHTS] or len(folders) != 1:
        paths = ", ".join(file.path for file in found) or "none"
        raise QuantLlmError(
            f"expected one {_CONFIG} and one {_WEIGHTS} in one folder, found {paths}: "
            "choose by `source.files`"
        )
    return found


def gguf_adapter_shape(header: GgufHeader, base: ModelShape) -> AdapterShape:
    """What llama.cpp asks of an adapter when it loads one (src/llama-adapter.cpp), as far as headers tell."""
    kind = header.metadata.get("general.type", "model")
    if kind != "adapter" or header.metadata.get("adapter.type") != "lora":
        raise AdapterError(
            f"general.type is {kind!r}, expected a LoRA adapter's GGUF: llama.cpp's convert_lora_to_gguf.py "
            "makes one of an adapter in PEFT's form"
        )
    architecture = header.metadata.get("general.architecture")
    if architecture != base.architecture:
        raise AdapterError(
            f"it is for {architecture!r}, the model is of the architecture {base.architecture!r}"
        )
    ranks = {tensor.dimensions[1] for tensor in _downward(header)}
    if not ranks:
        raise AdapterError("it has no tensor whose name ends in '.lora_a'")
    for tensor in _downward(header):
        _check_fits(tensor, base)
    return AdapterShape(format="gguf", base=str(architecture), rank=max(ranks))


def _downward(header: GgufHeader) -> Iterator[GgufTensor]:
    """The matrices from a layer's input to the rank."""
    for tensor in header.tensors:
        if tensor.name.endswith(".lora_a"):
            if len(tensor.dimensions) < 2:
                raise AdapterError(f"{tensor.name!r} is no matrix")
            yield tensor


def _check_fits(tensor: GgufTensor, base: ModelShape) -> None:
    layer = _LAYER.match(tensor.name)
    if layer and int(layer[1]) >= base.layers:
        raise AdapterError(
            f"it has {tensor.name!r}, the model has {base.layers} layers: it is another model's"
        )
    width, matrix = tensor.dimensions[0], tensor.name.removesuffix(".lora_a")
    if matrix.endswith(_ON_EMBEDDING) and width != base.embedding_size:
        raise AdapterError(
            f"{tensor.name!r} is for embeddings of {width}, the model has {base.embedding_size}: "
            "it is another model's"
        )


def peft_adapter_shape(
    config: Mapping[str, Any], tensors: Sequence[StoredTensor], base: ModelShape
) -> AdapterShape:
    """What vLLM asks of an adapter in PEFT's form, as far as the configuration and the header tell."""
    if config.get("peft_type") != "LORA":
        raise AdapterError(f"peft_type in {_CONFIG} is {config.get('peft_type')!r}, expected 'LORA'")
    for name, good in _REFUSED_BY_VLLM.items():
        if config.get(name) not in good:
            raise AdapterError(f"{name} in {_CONFIG} is {config[name]!r}, which vLLM does not load")
    rank = config.get("r")
    if type(rank) is not int or not 1 <= rank <= VLLM_LORA_RANKS[-1]:
        raise AdapterError(f"r in {_CONFIG} is {rank!r}, expected a rank from 1 to {VLLM_LORA_RANKS[-1]}")
    if not any(tensor.name.endswith(".lora_A.weight") for tensor in tensors):
        raise AdapterError("it has no tensor whose name ends in '.lora_A.weight'")
    for tensor in tensors:
        layer = _PEFT_LAYER.search(tensor.name)
        if layer and int(layer[1]) >= base.layers:
            raise AdapterError(
                f"it has {tensor.name!r}, the model has {base.layers} layers: it is another model's"
            )
        if tensor.name.endswith(_PEFT_ON_EMBEDDING) and tensor.dimensions[-1] != base.embedding_size:
            raise AdapterError(
                f"{tensor.name!r} is for embeddings of {tensor.dimensions[-1]}, "
                f"the model has {base.embedding_size}: it is another model's"
            )
    return AdapterShape(format="safetensors", base=str(config.get("base_model_name_or_path", "")), rank=rank)
