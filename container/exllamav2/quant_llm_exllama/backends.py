"""Which backend a model needs, by its `config.json`. Torch and the engines are loaded here, not before."""

from __future__ import annotations

from pathlib import Path

from quant_llm_exllama.backend import Backend
from quant_llm_exllama.tokenizer import read_json
from quant_llm_serving.errors import EngineError
from quant_llm_serving.exllama_options import ExllamaOptions

_EXL3 = "exl3"
_NO_ROOM = ("out of memory", "Insufficient VRAM", "Insufficient space")


def load_backend(directory: Path, options: ExllamaOptions) -> Backend:
    """Load the model of `directory` into the GPUs: EXL3 by ExLlamaV3, all else by ExLlamaV2.

    Raises ConfigurationError for a GPU that is too old, and EngineError where there is no room.
    """
    from quant_llm_exllama.devices import check_gpus

    check_gpus()
    try:
        if quantisation(directory) == _EXL3:
            from quant_llm_exllama.exllamav3_backend import ExLlamaV3Backend

            return ExLlamaV3Backend(directory, options)
        from quant_llm_exllama.exllamav2_backend import ExLlamaV2Backend

        return ExLlamaV2Backend(directory, options)
    except (RuntimeError, AssertionError) as error:
        if any(sign in str(error) for sign in _NO_ROOM):
            raise EngineError(
                "the model and its cache don't fit into the GPU's memory: lower EXLLAMA_CONTEXT_LENGTH or "
                f"EXLLAMA_MAX_BATCH_SIZE, or set EXLLAMA_CACHE_MODE to Q4 ({str(error).splitlines()[0]})"
            ) from error
        raise


def quantisation(directory: Path) -> str | None:
    """The quantisation's name in `config.json`, such as gptq, exl2 or exl3."""
    settings = read_json(directory / "config.json").get("quantization_config")
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    return method if isinstance(method, str) else None
