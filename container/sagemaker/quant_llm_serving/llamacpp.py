"""llama.cpp's server as the engine: its options, its model file and its command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from quant_llm_serving import environment as names
from quant_llm_serving.adapters import Adapters
from quant_llm_serving.engine import EngineCommand
from quant_llm_serving.environment import Environment, adapter_names, model_directory, nearest
from quant_llm_serving.errors import ConfigurationError
from quant_llm_serving.gguf import check_gguf
from quant_llm_serving.llama_server_options import known_options
from quant_llm_serving.model import Gguf, find_file, find_gguf
from quant_llm_serving.routes import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Abilities

_PREFIX = "LLAMA_"
_TRUE = ("on", "enabled", "true", "1")  # llama.cpp's is_truthy

PROMPT_CACHE_MIB = 2048
"""Main memory for prompts seen before. llama.cpp's own default of 8 GiB is half of an ml.g4dn.xlarge."""

_DOWNLOADS = "the model comes from the model directory: the container has no network"
_LISTENING = "the engine listens on a socket of its own, set SAGEMAKER_BIND_TO_PORT for the container's port"
_ACCESS = "who may call the endpoint is decided in front of the container"
_ONE_MODEL = "an endpoint serves one model"
_NOT_SERVED = "the container does not serve it"

REFUSED: Mapping[str, str] = {
    "LLAMA_ARG_MODEL": f"set {names.MODEL}",
    "LLAMA_ARG_LOG_FILE": "the log is the container's standard output",
    "LLAMA_ARG_STATIC_PATH": _NOT_SERVED,
    "LLAMA_ARG_RERANKING": _NOT_SERVED,
    **dict.fromkeys(("LLAMA_ARG_MODEL_URL", "LLAMA_ARG_HF_REPO", "LLAMA_ARG_HF_FILE"), _DOWNLOADS),
    **dict.fromkeys(("LLAMA_ARG_DOCKER_REPO", "LLAMA_ARG_MMPROJ_URL"), _DOWNLOADS),
    "LLAMA_ARG_SPEC_DRAFT_HF_REPO": _DOWNLOADS,
    **dict.fromkeys(("LLAMA_ARG_HOST", "LLAMA_ARG_PORT", "LLAMA_ARG_REUSE_PORT"), _LISTENING),
    **dict.fromkeys(
        ("LLAMA_ARG_API_PREFIX", "LLAMA_ARG_SSL_KEY_FILE", "LLAMA_ARG_SSL_CERT_FILE"), _LISTENING
    ),
    **dict.fromkeys(("LLAMA_API_KEY", "LLAMA_ARG_API_KEY_FILE"), _ACCESS),
    **dict.fromkeys(("LLAMA_ARG_MODELS_DIR", "LLAMA_ARG_MODELS_PRESET"), _ONE_MODEL),
    **dict.fromkeys(("LLAMA_ARG_MODELS_MAX", "LLAMA_ARG_MODELS_AUTOLOAD"), _ONE_MODEL),
    # These let whoever may send a prompt run programs and read files in the container.
    **dict.fromkeys(("LLAMA_ARG_AGENT", "LLAMA_ARG_TOOLS", "LLAMA_ARG_TOOLS_RUNTIME"), _NOT_SERVED),
    **dict.fromkeys(("LLAMA_ARG_MCP_SERVERS_CONFIG", "LLAMA_ARG_MCP_SERVERS_JSON"), _NOT_SERVED),
    **dict.fromkeys(("LLAMA_ARG_UI", "LLAMA_ARG_UI_CONFIG"), _NOT_SERVED),
    **dict.fromkeys(("LLAMA_ARG_UI_CONFIG_FILE", "LLAMA_ARG_UI_MCP_PROXY"), _NOT_SERVED),
}

_DRAFT_MODEL = "LLAMA_ARG_SPEC_DRAFT_MODEL"
_SPECULATION = "LLAMA_ARG_SPEC_TYPE"
_GGUF_OPTIONS = (_DRAFT_MODEL, "LLAMA_ARG_MMPROJ")  # beside the model
_FILE_OPTIONS = (*_GGUF_OPTIONS, "LLAMA_ARG_CHAT_TEMPLATE_FILE")
_SLOTS = "LLAMA_ARG_N_PARALLEL"
_PROMPT_CACHE = "LLAMA_ARG_CACHE_RAM"
_ALIAS = "LLAMA_ARG_ALIAS"
_AUTOMATIC_SLOTS = 4  # llama-server's, if it is told -1 or nothing

# What server-common.cpp throws as std::runtime_error, and so answers with 500.
_MISTAKES = (
    # Of messages and tools in common_chat_*_parse_oaicompat, and of the field reasoning_format.
    "Failed to parse ",
    "Unknown reasoning format",
    "Cannot use both json_schema and grammar",
    # Of images and sounds: /v1/responses hands on those that a chat is refused for before the engine sees it.
    "image input is not supported",
    "audio input is not supported",
    "video input is not supported",
    "Failed to download image",
    "Failed to load image or audio file",
    "Invalid uri",
    "uri must be base64 encoded",
    "Invalid base64 value",
)

# Names that one would expect by its command line, or by earlier versions.
_INSTEAD: Mapping[str, str] = {
    "LLAMA_ARG_LORA": names.SERVING_LORA,
    "LLAMA_ARG_LORA_SCALED": f"{names.SERVING_LORA} (a request's field 'lora' scales)",
    "LLAMA_ARG_MODEL_DRAFT": _DRAFT_MODEL,
}


class LlamaCpp:
    """`llama-server`, found on PATH."""

    name = "llama.cpp"

    def options(self, variables: Mapping[str, str]) -> dict[str, str]:
        """llama.cpp's own options among `variables`, with the container's defaults for those not set.

        Files that they name are relative to the model directory. Raises ConfigurationError for an option that
        llama-server doesn't know, or that the container decides, and ModelError for a file that isn't whole.
        """
        known = known_options()
        for name in sorted(variables):
            if name in _INSTEAD:
                raise ConfigurationError(f"llama-server has no option {name}, set {_INSTEAD[name]}")
            if name not in known and (name.startswith(_PREFIX) or "AMA_ARG_" in name):
                raise ConfigurationError(f"llama-server has no option {name}{nearest(name, known)}")
            if name in REFUSED:
                raise ConfigurationError(f"{name} can't be set: {REFUSED[name]}")
        options = {name: value for name, value in sorted(variables.items()) if name in known}
        if "LLAMA_ARG_N_GPU_LAYERS" in options and variables.get(names.N_GPU_LAYERS):
            raise ConfigurationError(
                f"{names.N_GPU_LAYERS} and LLAMA_ARG_N_GPU_LAYERS are the same option, expected one of them"
            )
        _slots(options)  # wrong ones are told before anything starts
        if options.get(_DRAFT_MODEL) and not options.get(_SPECULATION):
            # llama.cpp would load an ordinary model and never ask it.
            raise ConfigurationError(
                f"{_DRAFT_MODEL} needs {_SPECULATION}, expected draft-simple for an ordinary model"
            )
        for name in _FILE_OPTIONS:
            if options.get(name):
                file = find_file(model_directory(variables), name, options[name])
                if name in _GGUF_OPTIONS:
                    check_gguf(file)
                options[name] = str(file)
        if adapter_names(variables):
            _check_beside_adapters(options)
        # Requests with different adapters, or scales of them, must not share it: see _check_beside_adapters.
        prompt_cache = 0 if variables.get(names.SERVING_LORA) else PROMPT_CACHE_MIB
        return {_PROMPT_CACHE: str(prompt_cache), **options}

    def find_model(self, environment: Environment) -> Gguf:
        """The model to serve; all of its files are checked, and its LoRA adapters'. Raises ModelError."""
        model = find_gguf(environment.model_directory, environment.model)
        for file in (*model.files, *_adapters(environment)):
            check_gguf(file)
        return model

    def command(
        self, environment: Environment, options: Mapping[str, str], model: Gguf, socket: Path
    ) -> EngineCommand:
        """How to start llama-server; it takes a host that ends in `.sock` for a Unix socket."""
        arguments = ["llama-server", "--model", str(model.files[0]), "--host", str(socket)]
        arguments += ["--metrics", "--no-ui"]
        if environment.gpu_layers is not None:
            arguments += ["--n-gpu-layers", environment.gpu_layers]
        if environment.lora:
            arguments += ["--lora", ",".join(map(str, _adapters(environment)))]
        return EngineCommand(tuple(arguments), {**options, _ALIAS: _alias(options, model)})

    def abilities(self, options: Mapping[str, str]) -> Abilities:
        """An embedding model only embeds, any other only generates; images need a projector."""
        embeds = options.get("LLAMA_ARG_EMBEDDINGS") in _TRUE
        sees = "LLAMA_ARG_MMPROJ" in options
        return Abilities(
            routes=frozenset({EMBEDDINGS} if embeds else {CHAT, COMPLETIONS, RESPONSES}),
            content_types=frozenset({"text", "image_url", "input_audio"} if sees else {"text"}),
            slots=_slots(options),
            notices_late=True,  # server_response::recv_with_timeout waits while other answers go on
            mistakes=_MISTAKES,
            counts_apart=True,
            pulse="/lora-adapters",  # through the queue of the slots' loop; /health and /props are not
        )

    def adapters(self, environment: Environment, options: Mapping[str, str], model: Gguf) -> Adapters | None:
        """Those of SERVING_LORA that have names."""
        if not environment.adapters:
            return None
        base = tuple(filter(None, (name.strip() for name in _alias(options, model).split(","))))
        if clash := sorted(set(base) & set(environment.adapters)):
            raise ConfigurationError(
                f"{names.SERVING_LORA} has an adapter of the model's own name '{clash[0]}'"
            )
        return Adapters(environment.adapters, base)


def _alias(options: Mapping[str, str], model: Gguf) -> str:
    """Without an alias, callers would read the model's path; llama.cpp splits aliases at commas."""
    return options.get(_ALIAS) or model.name.replace(",", "_")


def _check_beside_adapters(options: Mapping[str, str]) -> None:
    """Refuse what answers with another adapter than the request's."""
    if options.get(_PROMPT_CACHE, "0") != "0":
        # server_prompt has the tokens and not the adapters: github.com/ggml-org/llama.cpp/issues/26207
        raise ConfigurationError(
            f"{_PROMPT_CACHE} must be 0 with adapters in {names.SERVING_LORA}: llama.cpp's prompt cache "
            "takes what one adapter computed for another's"
        )
    if options.get("LLAMA_ARG_EMBEDDINGS") in _TRUE:
        raise ConfigurationError(
            f"{names.SERVING_LORA} can't have names with LLAMA_ARG_EMBEDDINGS: "
            "llama.cpp takes no adapter with a request for embeddings"
        )


def _adapters(environment: Environment) -> list[Path]:
    return [find_file(environment.model_directory, names.SERVING_LORA, name) for name in environment.lora]


def _slots(options: Mapping[str, str]) -> int:
    """How many requests llama-server works on at once."""
    value = options.get(_SLOTS) or "-1"
    if not re.fullmatch(r"-1|[1-9]\d{0,3}", value, re.ASCII):
        raise ConfigurationError(
            f"{_SLOTS} must be a number of slots, or -1 for {_AUTOMATIC_SLOTS}, got '{value}'"
        )
    return _AUTOMATIC_SLOTS if value == "-1" else int(value)
