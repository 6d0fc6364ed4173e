"""Rotary embedding's settings as transformers 5 writes them, for ExLlamaV2, which knows transformers 4's.

Version 5 has all of them in `rope_parameters`; version 4 had `rope_theta` and, for what stretches the
context, `rope_scaling`. Not finding them, ExLlamaV2 takes its defaults, and the model talks nonsense.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_llm_serving.errors import ModelError


def rope_attributes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes for `ExLlamaV2Config`, none if it finds all itself in `config.json`.

    Raises ModelError for a type of embedding that it can't be told.
    """
    parameters = config.get("rope_parameters")
    if not isinstance(parameters, dict) or config.get("rope_scaling"):
        return {}
    try:
        return {"rotary_embedding_base": float(parameters["rope_theta"]), **_stretched(parameters)}
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"config.json has rope_parameters that can't be read: {error!r}") from error


def _stretched(parameters: Mapping[str, Any]) -> dict[str, Any]:
    match parameters.get("rope_type", "default"):
        case "default":
            return {}
        case "linear":
            return {"scale_pos_emb": parameters["factor"]}
        case "llama3":
            return {
                "alt_rope_method": "llama3",
                "l3_rope_factor": parameters["factor"],
                "l3_rope_low_freq_factor": parameters["low_freq_factor"],
                "l3_rope_high_freq_factor": parameters["high_freq_factor"],
                "l3_rope_original_max_position_embeddings": parameters["original_max_position_embeddings"],
            }
        case "yarn":
            return {
                "alt_rope_method": "yarn",
                "yarn_rope_factor": parameters["factor"],
                "yarn_rope_original_max_position_embeddings": parameters["original_max_position_embeddings"],
            }
        case other:
            expected = "default, linear, llama3 or yarn"
            raise ModelError(f"config.json has rope_type '{other}', and ExLlamaV2 expects one of {expected}")
