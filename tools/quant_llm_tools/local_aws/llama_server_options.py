"""The command line and environment of llama.cpp's `llama-server`, written down for `xllamacpp`.

`xllamacpp` takes llama.cpp's parameters as an object and leaves its argument parser out. This table gives
each option the names, the environment variable and the meaning that llama.cpp's `common/arg.cpp` gives it. An
option that isn't here is an error: one that were passed over in silence would deploy well on the laptop and
do something else on the GPU.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xllamacpp  # type: ignore[import-untyped] # a compiled module that ships no types

# llama.cpp's own type of parameters; untyped, see the import.
Parameters = Any

_TRUE = ("on", "enabled", "true", "1")
_FALSE = ("off", "disabled", "false", "0")
_CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


class UsageError(Exception):
    """The command line or an environment variable is wrong; the message is worded as llama.cpp words it."""


@dataclass(frozen=True)
class Option:
    """One option: `names` switch it on or take a value, `negative` names switch it off.

    `apply` sets it in the parameters; a switch gets "1" or "0". It raises ValueError for a bad value.
    """

    names: tuple[str, ...]
    apply: Callable[[Parameters, str], None]
    environment: str | None = None
    switch: bool = False
    negative: tuple[str, ...] = ()


def parse(parameters: Parameters, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Set `parameters` from the environment first and the command line after it, as llama.cpp does."""
    # Three defaults that llama-server has and xllamacpp hasn't.
    parameters.port = 8080
    parameters.n_parallel = -1  # as many slots as llama.cpp finds right
    parameters.default_template_kwargs = {"preserve_reasoning": "true"}
    _apply_environment(parameters, environment)
    position = 0
    while position < len(arguments):
        argument = arguments[position]
        name = argument.replace("_", "-") if argument.startswith("--") else argument
        option = _BY_NAME.get(name)
        if option is None:
            raise UsageError(f"error: invalid argument: {name}")
        if option.switch:
            value = "0" if name in option.negative else "1"
            position += 1
        elif position + 1 == len(arguments):
            raise UsageError(f'error while handling argument "{name}": expected value for argument')
        else:
            value = arguments[position + 1]
            position += 2
        try:
            option.apply(parameters, value)
        except ValueError as error:
            raise UsageError(f'error while handling argument "{name}": {error}') from error


def _apply_environment(parameters: Parameters, environment: Mapping[str, str]) -> None:
    known: set[str] = set()
    for option in OPTIONS:
        if option.environment is None:
            continue
        # llama.cpp reads the mere presence of LLAMA_ARG_NO_X as "off", whatever its value.
        off = option.environment.replace("LLAMA_ARG_", "LLAMA_ARG_NO_")
        known.update((option.environment, off) if option.negative else (option.environment,))
        value = "0" if option.negative and off in environment else environment.get(option.environment)
        if value is None:
            continue
        if option.switch:
            value = "1" if _boolean(value, option.environment) else "0"
            if value == "0" and not option.negative:
                continue  # llama.cpp has no way to switch such an option off
        try:
            option.apply(parameters, value)
        except ValueError as error:
            message = f'error while handling environment variable "{option.environment}": {error}'
            raise UsageError(message) from error
    unknown = sorted(name for name in environment if name.startswith("LLAMA_ARG_") and name not in known)
    if unknown:
        raise UsageError(
            f"error: this llama-server does not know the environment variable {', '.join(unknown)}"
        )


def _boolean(value: str, variable: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise UsageError(f'error while handling environment variable "{variable}": invalid boolean value')


def _set(path: str, convert: Callable[[str], object]) -> Callable[[Parameters, str], None]:
    """Set the parameter at the dotted `path`."""
    *owners, last = path.split(".")

    def apply(parameters: Parameters, value: str) -> None:
        for owner in owners:
            parameters = getattr(parameters, owner)
        setattr(parameters, last, convert(value))

    return apply


def _value(
    path: str, convert: Callable[[str], object], *names: str, environment: str | None = None
) -> Option:
    return Option(names, _set(path, convert), environment)


def _switch(path: str, name: str, environment: str, *, off: tuple[str, ...] = ()) -> Option:
    return Option((name,), _set(path, _is_on), environment, switch=True, negative=off)


def _is_on(value: str) -> bool:
    return value == "1"


def _choice(kind: Any, prefix: str, *names: str) -> Callable[[str], object]:
    """The member of an enumeration of llama.cpp by its name on the command line."""

    def convert(value: str) -> object:
        if value not in names:
            raise ValueError(f"invalid value '{value}', expected one of {', '.join(names)}")
        return getattr(kind, prefix + value.upper().replace("+", "_"))

    return convert


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def _host(parameters: Parameters, value: str) -> None:
    hosts = _words(value)
    if not hosts:
        raise ValueError("--host requires at least one address")
    parameters.hostnames = hosts


def _context_size(parameters: Parameters, value: str) -> None:
    parameters.n_ctx = int(value)
    if parameters.n_ctx == 0:
        # 0 is the model's own context: llama.cpp then must not shrink it to make it fit.
        parameters.fit_params_min_ctx = -1  # UINT32_MAX in llama.cpp, which reads this signed field unsigned


def _threads(parameters: Parameters, value: str) -> None:
    threads = int(value)
    parameters.cpuparams.n_threads = threads if threads > 0 else os.cpu_count()


def _slots(parameters: Parameters, value: str) -> None:
    if int(value) == 0:
        raise ValueError("error: invalid value for n_parallel")
    parameters.n_parallel = int(value)


def _gpu_layers(value: str) -> int:
    return {"auto": -1, "all": -2}.get(value) or int(value)


def _flash_attention(value: str) -> object:
    kind = xllamacpp.llama_flash_attn_type
    if value in _TRUE:
        return kind.LLAMA_FLASH_ATTN_TYPE_ENABLED
    if value in _FALSE:
        return kind.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if value in ("auto", "-1"):
        return kind.LLAMA_FLASH_ATTN_TYPE_AUTO
    raise ValueError(f"error: unknown value for --flash-attn: '{value}'")


def _on_or_off(value: str) -> bool:
    if value not in (*_TRUE, *_FALSE):
        raise ValueError(f"invalid value '{value}', expected on or off")
    return value in _TRUE


def _template_arguments(parameters: Parameters, value: str) -> None:
    arguments = json.loads(value)
    if not isinstance(arguments, dict):
        raise ValueError("expected a JSON object")
    parameters.default_template_kwargs = {
        **parameters.default_template_kwargs,
        **{name: json.dumps(item) for name, item in arguments.items()},
    }


def _lora(parameters: Parameters, value: str) -> None:
    parameters.lora_adapters = [
        *parameters.lora_adapters,
        *(xllamacpp.CommonAdapterLoraInfo(file, 1.0) for file in _words(value)),
    ]


def _speculative_types(parameters: Parameters, value: str) -> None:
    kind = xllamacpp.common_speculative_type
    known = {
        name.removeprefix("COMMON_SPECULATIVE_TYPE_").lower().replace("_", "-"): name
        for name in vars(kind)
        if name.startswith("COMMON_SPECULATIVE_TYPE_") and not name.endswith("_COUNT")
    }
    for name in _words(value):
        if name not in known:
            raise ValueError(f"unknown speculative type: {name}")
    parameters.speculative.types = [
        *parameters.speculative.types,
        *(getattr(kind, known[name]) for name in _words(value)),
    ]


def _timeout(parameters: Parameters, value: str) -> None:
    parameters.timeout_read = parameters.timeout_write = int(value)


def _sampling(field: str, bit: str, convert: Callable[[str], object]) -> Callable[[Parameters, str], None]:
    """A sampling default that the person set: marked so that the model's own metadata doesn't replace it."""

    def apply(parameters: Parameters, value: str) -> None:
        setattr(parameters.sampling, field, convert(value))
        flag = getattr(xllamacpp.common_params_sampling_config, f"COMMON_PARAMS_SAMPLING_CONFIG_{bit}")
        parameters.sampling.user_sampling_config |= flag

    return apply


_cache_type = _choice(xllamacpp.ggml_type, "GGML_TYPE_", *_CACHE_TYPES)
_split_mode = _choice(xllamacpp.llama_split_mode, "LLAMA_SPLIT_MODE_", "none", "layer", "row", "tensor")
_load_mode = _choice(
    xllamacpp.llama_load_mode, "LLAMA_LOAD_MODE_", "auto", "none", "mmap", "mlock", "mmap+mlock"
)
_pooling = _choice(xllamacpp.llama_pooling_type, "LLAMA_POOLING_TYPE_", "none", "mean", "cls", "last", "rank")
_reasoning_format = _choice(
    xllamacpp.common_reasoning_format, "COMMON_REASONING_FORMAT_", "none", "auto", "deepseek"
)

OPTIONS: tuple[Option, ...] = (
    _value("model.path", str, "-m", "--model", environment="LLAMA_ARG_MODEL"),
    Option(("--host",), _host, "LLAMA_ARG_HOST"),
    _value("port", int, "--port", environment="LLAMA_ARG_PORT"),
    Option(("-a", "--alias"), lambda p, v: setattr(p, "model_alias", set(_words(v))), "LLAMA_ARG_ALIAS"),
    Option(("--lora",), _lora),
    _value(
        "speculative.draft.mparams.path",
        str,
        "-md",
        "--model-draft",
        "--spec-draft-model",
        environment="LLAMA_ARG_SPEC_DRAFT_MODEL",
    ),
    Option(("--spec-type",), _speculative_types, "LLAMA_ARG_SPEC_TYPE"),
    _value("speculative.draft.n_max", int, "--spec-draft-n-max", environment="LLAMA_ARG_SPEC_DRAFT_N_MAX"),
    _switch("embedding", "--embeddings", "LLAMA_ARG_EMBEDDINGS"),
    _value("pooling_type", _pooling, "--pooling", environment="LLAMA_ARG_POOLING"),
    # context, slots and batches
    Option(("-c", "--ctx-size"), _context_size, "LLAMA_ARG_CTX_SIZE"),
    Option(("-np", "--parallel"), _slots, "LLAMA_ARG_N_PARALLEL"),
    _value("n_batch", int, "-b", "--batch-size", environment="LLAMA_ARG_BATCH"),
    _value("n_ubatch", int, "-ub", "--ubatch-size", environment="LLAMA_ARG_UBATCH"),
    _value("n_predict", int, "-n", "--predict", "--n-predict", environment="LLAMA_ARG_N_PREDICT"),
    _switch("kv_unified", "--kv-unified", "LLAMA_ARG_KV_UNIFIED", off=("--no-kv-unified",)),
    _switch("cont_batching", "--cont-batching", "LLAMA_ARG_CONT_BATCHING", off=("--no-cont-batching",)),
    _switch("ctx_shift", "--context-shift", "LLAMA_ARG_CONTEXT_SHIFT", off=("--no-context-shift",)),
    _switch("swa_full", "--swa-full", "LLAMA_ARG_SWA_FULL"),
    _value("rope_freq_base", float, "--rope-freq-base", environment="LLAMA_ARG_ROPE_FREQ_BASE"),
    _value("rope_freq_scale", float, "--rope-freq-scale", environment="LLAMA_ARG_ROPE_FREQ_SCALE"),
    # the KV cache and the prompt cache
    _value("cache_type_k", _cache_type, "-ctk", "--cache-type-k", environment="LLAMA_ARG_CACHE_TYPE_K"),
    _value("cache_type_v", _cache_type, "-ctv", "--cache-type-v", environment="LLAMA_ARG_CACHE_TYPE_V"),
    _value("cache_ram_mib", int, "-cram", "--cache-ram", environment="LLAMA_ARG_CACHE_RAM"),
    _value("n_cache_reuse", int, "--cache-reuse", environment="LLAMA_ARG_CACHE_REUSE"),
    _switch("cache_prompt", "--cache-prompt", "LLAMA_ARG_CACHE_PROMPT", off=("--no-cache-prompt",)),
    _switch(
        "cache_idle_slots",
        "--cache-idle-slots",
        "LLAMA_ARG_CACHE_IDLE_SLOTS",
        off=("--no-cache-idle-slots",),
    ),
    # threads, GPU and loading
    Option(("-t", "--threads"), _threads, "LLAMA_ARG_THREADS"),
    _value("cpuparams_batch.n_threads", int, "-tb", "--threads-batch"),
    _value("n_threads_http", int, "--threads-http", environment="LLAMA_ARG_THREADS_HTTP"),
    _value(
        "n_gpu_layers",
        _gpu_layers,
        "-ngl",
        "--gpu-layers",
        "--n-gpu-layers",
        environment="LLAMA_ARG_N_GPU_LAYERS",
    ),
    _value("flash_attn_type", _flash_attention, "-fa", "--flash-attn", environment="LLAMA_ARG_FLASH_ATTN"),
    _value("split_mode", _split_mode, "-sm", "--split-mode", environment="LLAMA_ARG_SPLIT_MODE"),
    _value("main_gpu", int, "-mg", "--main-gpu", environment="LLAMA_ARG_MAIN_GPU"),
    _value("fit_params", _on_or_off, "-fit", "--fit", environment="LLAMA_ARG_FIT"),
    _value("load_mode", _load_mode, "-lm", "--load-mode", environment="LLAMA_ARG_LOAD_MODE"),
    Option(("--warmup",), _set("warmup", _is_on), switch=True, negative=("--no-warmup",)),
    # HTTP
    _switch("endpoint_metrics", "--metrics", "LLAMA_ARG_ENDPOINT_METRICS"),
    _switch("endpoint_props", "--props", "LLAMA_ARG_ENDPOINT_PROPS"),
    _switch("endpoint_slots", "--slots", "LLAMA_ARG_ENDPOINT_SLOTS", off=("--no-slots",)),
    _switch("ui", "--ui", "LLAMA_ARG_UI", off=("--no-ui", "--no-webui")),
    Option(("--api-key",), lambda p, v: setattr(p, "api_keys", _words(v)), "LLAMA_API_KEY"),
    Option(("-to", "--timeout"), _timeout, "LLAMA_ARG_TIMEOUT"),
    _value("sse_ping_interval", int, "--sse-ping-interval", environment="LLAMA_ARG_SSE_PING_INTERVAL"),
    # chat templates and sampling
    _switch("use_jinja", "--jinja", "LLAMA_ARG_JINJA", off=("--no-jinja",)),
    _value("chat_template", str, "--chat-template", environment="LLAMA_ARG_CHAT_TEMPLATE"),
    _value(
        "chat_template",
        lambda path: Path(path).read_text(encoding="utf-8"),
        "--chat-template-file",
        environment="LLAMA_ARG_CHAT_TEMPLATE_FILE",
    ),
    Option(("--chat-template-kwargs",), _template_arguments, "LLAMA_ARG_CHAT_TEMPLATE_KWARGS"),
    _value("reasoning_format", _reasoning_format, "--reasoning-format", environment="LLAMA_ARG_THINK"),
    _value(
        "sampling.reasoning_budget_tokens", int, "--reasoning-budget", environment="LLAMA_ARG_THINK_BUDGET"
    ),
    _value("sampling.seed", int, "-s", "--seed"),
    Option(("--temp", "--temperature"), _sampling("temp", "TEMP", float), "LLAMA_ARG_TEMPERATURE"),
    Option(("--top-k",), _sampling("top_k", "TOP_K", int), "LLAMA_ARG_TOP_K"),
    Option(("--top-p",), _sampling("top_p", "TOP_P", float), "LLAMA_ARG_TOP_P"),
    Option(("--min-p",), _sampling("min_p", "MIN_P", float), "LLAMA_ARG_MIN_P"),
    # log
    _value("verbosity", int, "-lv", "--verbosity", "--log-verbosity", environment="LLAMA_ARG_LOG_VERBOSITY"),
)

_BY_NAME = {name: option for option in OPTIONS for name in (*option.names, *option.negative)}
