"""ExLlamaV2 and ExLlamaV3 as the engine, behind the container's own server (`quant_llm_exllama`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quant_llm_serving import environment as names
from quant_llm_serving.engine import EngineCommand
from quant_llm_serving.environment import Environment
from quant_llm_serving.errors import ConfigurationError, ModelError
from quant_llm_serving.exllama_options import VARIABLES, read_exllama_options
from quant_llm_serving.model_folder import ModelFolder, check_model_folder, find_model_folder
from quant_llm_serving.routes import CHAT, COMPLETIONS, Abilities

QUANTISATIONS = ("exl2", "gptq", "exl3")
"""Formats that the engines read; they read models that aren't quantised as well."""

_LLAMA_CPP_ONLY = (names.N_GPU_LAYERS, names.SERVING_LORA)


class ExLlama:
    """`quant_llm_exllama` in the container's Python."""

    name = "exllamav2"

    def options(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The engine's options among `variables`. Raises ConfigurationError for one that can't be."""
        for name in _LLAMA_CPP_ONLY:
            if variables.get(name):
                raise ConfigurationError(f"{name} can't be set: it is an option of llama.cpp")
        read_exllama_options(variables)  # wrong ones are told before anything starts
        return {name: variables[name] for name in VARIABLES if variables.get(name)}

    def find_model(self, environment: Environment) -> ModelFolder:
        """The model to serve, all of its files checked. Raises ModelError."""
        model = find_model_folder(environment.model_directory, environment.model)
        if model.quantisation is not None and model.quantisation not in QUANTISATIONS:
            raise ModelError(
                f"the model in {model.path} is quantised as {model.quantisation}, "
                f"expected one of {', '.join(QUANTISATIONS)}"
            )
        check_model_folder(model)
        return model

    def command(
        self, environment: Environment, options: Mapping[str, str], model: ModelFolder, socket: Path
    ) -> EngineCommand:
        """How to start the server, which finds its options in the container's environment."""
        arguments = ["python3", "-m", "quant_llm_exllama"]
        arguments += ["--model", str(model.path), "--name", model.name, "--socket", str(socket)]
        return EngineCommand(tuple(arguments), {})

    def abilities(self, options: Mapping[str, str]) -> Abilities:
        """Chats and completions of text."""
        return Abilities(
            routes=frozenset({CHAT, COMPLETIONS}),
            content_types=frozenset({"text"}),
            slots=read_exllama_options(options).max_batch_size,
        )

    def adapters(self, environment: Environment, options: Mapping[str, str], model: ModelFolder) -> None:
        """None: SERVING_LORA is refused."""
