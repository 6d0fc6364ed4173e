"""The options of the ExLlama engines: environment variables, read and checked in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from quant_llm_serving.environment import nearest
from quant_llm_serving.errors import ConfigurationError

CONTEXT_LENGTH = "EXLLAMA_CONTEXT_LENGTH"
MAX_BATCH_SIZE = "EXLLAMA_MAX_BATCH_SIZE"
CACHE_MODE = "EXLLAMA_CACHE_MODE"
CHUNK_SIZE = "EXLLAMA_CHUNK_SIZE"
GPU_SPLIT = "EXLLAMA_GPU_SPLIT"
TENSOR_PARALLEL = "EXLLAMA_TENSOR_PARALLEL"

PAGE_TOKENS = 256
"""The cache's unit in both engines."""

DEFAULT_CONTEXT_LENGTH = 8192
DEFAULT_MAX_BATCH_SIZE = 4

CacheMode = Literal["FP16", "Q8", "Q6", "Q4"]

VARIABLES: Mapping[str, str] = {
    CONTEXT_LENGTH: "tokens of a request, prompt and answer together. "
    f"Default: what the model was made for, at most {DEFAULT_CONTEXT_LENGTH}",
    MAX_BATCH_SIZE: "requests that are generated at once; more wait. The cache has room for so many of the "
    f"whole context length. Default: {DEFAULT_MAX_BATCH_SIZE}",
    CACHE_MODE: f"precision of the KV cache: {', '.join(get_args(CacheMode))}. Default: FP16",
    CHUNK_SIZE: f"tokens of a prompt that are read at once, a multiple of {PAGE_TOKENS}. Default: 2048",
    GPU_SPLIT: "gigabytes of each GPU's memory for the model, such as `20,24`. "
    "Default: the first GPU, and the next ones as each is full",
    TENSOR_PARALLEL: "`true` spreads each layer over all GPUs. Default: `false`, whole layers on each",
}
"""Each variable's meaning and default."""

_PREFIX = "EXLLAMA_"
_MAX_TOKENS = 4 * 1024 * 1024
_MAX_BATCH_SIZE = 256  # ExLlamaV2's: 2,048 tokens of input, 8 for each request
_MAX_CHUNK_SIZE = 16384


@dataclass(frozen=True, kw_only=True)
class ExllamaOptions:
    """What the variables say, checked. None is the default that `VARIABLES` tells; the split is in GB."""

    context_length: int | None = None
    max_batch_size: int = DEFAULT_MAX_BATCH_SIZE
    cache_mode: CacheMode = "FP16"
    chunk_size: int = 2048
    gpu_split: tuple[float, ...] | None = None
    tensor_parallel: bool = False

    def context_for(self, trained_length: int) -> int:
        """Tokens of a request, for a model that was made for `trained_length` of them.

        Raises ConfigurationError if more are asked for than the model was made for.
        """
        if self.context_length is None:
            return min(trained_length, DEFAULT_CONTEXT_LENGTH)
        if self.context_length > trained_length:
            raise ConfigurationError(
                f"{CONTEXT_LENGTH} must be at most {trained_length}, what the model was made for, "
                f"got {self.context_length}"
            )
        return self.context_length


def cache_tokens(context_length: int, requests: int) -> int:
    """Tokens of a cache for `requests` of the whole length, each in pages of its own."""
    return requests * (-(-context_length // PAGE_TOKENS)) * PAGE_TOKENS


def read_exllama_options(variables: Mapping[str, str]) -> ExllamaOptions:
    """Read and check `variables`, in which an empty value counts as none. Raises ConfigurationError."""
    for name in sorted(variables):
        if name.startswith(_PREFIX) and name not in VARIABLES:
            expected = ", ".join(VARIABLES)
            raise ConfigurationError(
                f"no such option {name}{nearest(name, VARIABLES)}, expected one of {expected}"
            )
    chunk_size = _number(variables, CHUNK_SIZE, 2048, _MAX_CHUNK_SIZE)
    if chunk_size % PAGE_TOKENS:
        raise ConfigurationError(f"{CHUNK_SIZE} must be a multiple of {PAGE_TOKENS}, got {chunk_size}")
    return ExllamaOptions(
        context_length=_number(variables, CONTEXT_LENGTH, 0, _MAX_TOKENS) or None,
        max_batch_size=_number(variables, MAX_BATCH_SIZE, DEFAULT_MAX_BATCH_SIZE, _MAX_BATCH_SIZE),
        cache_mode=cast(CacheMode, _one_of(variables, CACHE_MODE, get_args(CacheMode))),
        chunk_size=chunk_size,
        gpu_split=_gpu_split(variables),
        tensor_parallel=_one_of(variables, TENSOR_PARALLEL, ("false", "true")) == "true",
    )


def _number(variables: Mapping[str, str], name: str, default: int, most: int) -> int:
    value = variables.get(name)
    if not value:
        return default
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not 1 <= int(value) <= most:
        raise ConfigurationError(f"{name} must be a number from 1 to {most}, got '{value}'")
    return int(value)


def _one_of(variables: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    """The value in the case of `values`, of which the first is the default."""
    value = variables.get(name) or values[0]
    for known in values:
        if value.lower() == known.lower():
            return known
    raise ConfigurationError(f"{name} must be one of {', '.join(values)}, got '{value}'")


def _gpu_split(variables: Mapping[str, str]) -> tuple[float, ...] | None:
    value = variables.get(GPU_SPLIT)
    if not value:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(re.fullmatch(r"\d{1,4}(\.\d{1,3})?", part, re.ASCII) for part in parts):
        raise ConfigurationError(f"{GPU_SPLIT} must be gigabytes for each GPU, such as 20,24, got '{value}'")
    return tuple(float(part) for part in parts)
