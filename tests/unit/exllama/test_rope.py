"""Rotary embeddings as transformers 5 writes them."""

from __future__ import annotations

from typing import Any

import pytest

from quant_llm_exllama.rope import rope_attributes
from quant_llm_serving.errors import ModelError

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    ("config", "attributes"),
    [
        ({"rope_theta": 1e6}, {}),
        ({"rope_parameters": LLAMA3, "rope_scaling": {"rope_type": "llama3"}}, {}),
        (
            {"rope_parameters": {"rope_theta": 100000, "rope_type": "default"}},
            {"rotary_embedding_base": 100000.0},
        ),
        (
            {"rope_parameters": {"rope_theta": 1, "rope_type": "linear", "factor": 2}},
            {"rotary_embedding_base": 1.0, "scale_pos_emb": 2},
        ),
        (
            {"rope_parameters": LLAMA3},
            {
                "rotary_embedding_base": 500000.0,
                "alt_rope_method": "llama3",
                "l3_rope_factor": 32.0,
                "l3_rope_low_freq_factor": 1.0,
                "l3_rope_high_freq_factor": 4.0,
                "l3_rope_original_max_position_embeddings": 8192,
            },
        ),
        (
            {"rope_parameters": {**LLAMA3, "rope_type": "yarn"}},
            {
                "rotary_embedding_base": 500000.0,
                "alt_rope_method": "yarn",
                "yarn_rope_factor": 32.0,
                "yarn_rope_original_max_position_embeddings": 8192,
            },
        ),
    ],
)
def test_what_exllamav2_is_told(config: dict[str, Any], attributes: dict[str, Any]) -> None:
    assert rope_attributes(config) == attributes


@pytest.mark.parametrize(
    "parameters",
    [{"rope_type": "default"}, {**LLAMA3, "rope_type": "new"}, {"rope_type": "llama3", "rope_theta": 1}],
)
def test_what_it_can_not_be_told_is_an_error(parameters: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"config\.json has rope"):
        rope_attributes({"rope_parameters": parameters})
