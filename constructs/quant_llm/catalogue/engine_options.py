"""Variables of AWS's containers: what the stack sets itself, and names that the container would not know.

LMI passes over an option that vLLM doesn't have in silence (get_additional_vllm_engine_args in its
properties_manager/vllm_rb_properties.py), and TGI over any variable: a misspelt one is found here or never.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from quant_llm.agency import Engine
from quant_llm.agency.problems import nearest
from quant_llm.catalogue.schema import Source

DATA = Path(__file__).with_name("engine_options.json")

LMI_PREFIX = "OPTION_"

_CONTEXT = "set `context_length`"
_CONCURRENCY = "set `concurrency`"
_GPUS = "all GPUs of the `instance_type` are used"
_WEIGHTS = "the weights are those that `quantllm lock` resolved"
_QUANTIZATION = "it is read from the config.json of the weights"
_OFFLINE = "the container has no network"
_TIMEOUT = "SageMaker's own time-out decides"

# Several names of one thing: LMI's, vLLM's, and those of other containers that LMI's entrypoint translates
# (serving/docker/dockerd-entrypoint-with-cuda-compat.sh).
RESERVED: Mapping[Engine, Mapping[str, str]] = {
    "vllm": {
        **dict.fromkeys(
            ("HF_MODEL_ID", "HF_REVISION", "OPTION_MODEL_ID", "OPTION_MODEL", "OPTION_REVISION"), _WEIGHTS
        ),
        "HF_HUB_OFFLINE": _OFFLINE,
        "OPTION_MAX_MODEL_LEN": _CONTEXT,
        **dict.fromkeys(
            ("OPTION_MAX_ROLLING_BATCH_SIZE", "OPTION_MAX_NUM_SEQS", "MAX_BATCH_SIZE"), _CONCURRENCY
        ),
        **dict.fromkeys(
            (
                *("TENSOR_PARALLEL_DEGREE", "OPTION_TENSOR_PARALLEL_DEGREE", "OPTION_TENSOR_PARALLEL_SIZE"),
                *("PIPELINE_PARALLEL_DEGREE", "OPTION_PIPELINE_PARALLEL_DEGREE"),
                *("OPTION_PIPELINE_PARALLEL_SIZE", "OPTION_DATA_PARALLEL_SIZE", "SM_NUM_GPUS"),
            ),
            _GPUS,
        ),
        **dict.fromkeys(("OPTION_QUANTIZE", "OPTION_QUANTIZATION", "HF_MODEL_QUANTIZE"), _QUANTIZATION),
        **dict.fromkeys(("OPTION_MODEL_LOADING_TIMEOUT", "MODEL_LOADING_TIMEOUT"), _TIMEOUT),
    },
    "tgi": {
        **dict.fromkeys(("HF_MODEL_ID", "MODEL_ID", "HF_MODEL_REVISION", "REVISION"), _WEIGHTS),
        "HF_HUB_OFFLINE": _OFFLINE,
        **dict.fromkeys(("MAX_TOTAL_TOKENS", "MAX_INPUT_TOKENS", "MAX_INPUT_LENGTH"), _CONTEXT),
        "MAX_BATCH_SIZE": _CONCURRENCY,
        **dict.fromkeys(("SM_NUM_GPUS", "NUM_SHARD", "SHARDED"), _GPUS),
        **dict.fromkeys(("HF_MODEL_QUANTIZE", "QUANTIZE", "DTYPE"), _QUANTIZATION),
        **dict.fromkeys(("PORT", "HOSTNAME"), "SageMaker calls port 8080"),
    },
}
"""By engine: the variables that the stack sets, or that would contradict them, and what to do instead."""

_PREFIXES: Mapping[str, Engine] = {
    "LLAMA_ARG_": "llama.cpp",
    "EXLLAMA_": "exllamav2",
    LMI_PREFIX: "vllm",
}
# That of AWS's other container of vLLM, which takes the arguments of vLLM's own server.
_OTHER_VLLM = "SM_VLLM_"
_ALIKE = 0.85
"""How much alike a variable and one of TGI's are when the first is the second misspelt: it may be any."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KnownNames(_Frozen):
    """The variables that the container of a version knows, and where that was read."""

    version: str
    source: Source
    names: frozenset[str]


class EngineOptions(_Frozen):
    """The whole of `engine_options.json`."""

    schema_version: Literal[1]
    engines: Mapping[Engine, KnownNames]


@dataclass(frozen=True)
class WrongVariable:
    """What was expected in place of a variable, and the one that was probably meant."""

    expected: str
    nearest: str | None = None


def wrong_variable(engine: Engine, name: str, *, brings_image: bool = False) -> WrongVariable | None:
    """What is wrong with a variable of the agency file; None for a good one, or one that nothing is known of.

    Of an image that the agency brings the options aren't known, only what the stack tells it.
    """
    if reserved := RESERVED.get(engine, {}).get(name):
        return WrongVariable(f"no variable that the stack sets itself: {reserved}")
    known = load_engine_options().engines.get(engine)
    if known is not None and name in known.names:
        return None
    for prefix, owner in _PREFIXES.items():
        if name.startswith(prefix) and owner != engine:
            return WrongVariable(f"a variable of {engine}: {prefix}… are those of {owner}")
    return None if known is None or brings_image else _misspelt(engine, name, known)


def _misspelt(engine: Engine, name: str, known: KnownNames) -> WrongVariable | None:
    if engine == "tgi":
        near = nearest(name, known.names, cutoff=_ALIKE)
        return WrongVariable(f"a variable of TGI {known.version}", near) if near else None
    option = name.removeprefix(_OTHER_VLLM).removeprefix(LMI_PREFIX)
    if LMI_PREFIX + option in known.names:
        return WrongVariable(f"the name that LMI has for it, with {LMI_PREFIX}", LMI_PREFIX + option)
    if name.startswith((LMI_PREFIX, _OTHER_VLLM)):
        near = nearest(option, [one.removeprefix(LMI_PREFIX) for one in known.names])
        expected = f"an option of LMI or of its vLLM (DJL Serving {known.version})"
        return WrongVariable(expected, LMI_PREFIX + near if near else None)
    return None


@functools.cache
def load_engine_options() -> EngineOptions:
    """The names that come with the package, read once."""
    return EngineOptions.model_validate_json(DATA.read_bytes())
