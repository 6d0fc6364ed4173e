"""Whether a model's adapters fit it and each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quant_llm.agency.loose import Relation, get
from quant_llm.agency.problems import Location

ENGINES_WITH_ADAPTERS = ("llama.cpp", "vllm")
"""The engines that `adapters` are for."""

MAX_VARIABLE = 1024
"""Characters that a variable of a SageMaker container can have."""

ADAPTER_VARIABLES = {
    "SERVING_LORA": "the stack sets it",
    "LLAMA_ARG_CACHE_RAM": "llama.cpp's prompt cache must be off, it takes one adapter's state for another's",
    "LLAMA_ARG_EMBEDDINGS": "llama.cpp applies none to embeddings",
    **dict.fromkeys(("OPTION_ENABLE_LORA", "OPTION_MAX_LORAS", "OPTION_MAX_LORA_RANK"), "the stack sets it"),
}
"""Variables of the container that contradict adapters, and why."""


def adapter_relations(model: Any, at: Location) -> Iterator[Relation]:
    """What is wrong with the adapters of the model at a location."""
    adapters = get(model, list, "adapters")
    if not adapters:
        return
    engine = get(model, str, "engine")
    if engine not in (None, *ENGINES_WITH_ADAPTERS):
        expected = f"the field left out: of the engines here {' and '.join(ENGINES_WITH_ADAPTERS)} serve them"
        yield Relation((*at, "adapters"), expected)
    if get(model, str, "source", "quantised"):
        expected = "the field left out with source.quantised: adapters are fetched with weights of the hub"
        yield Relation((*at, "adapters"), expected)
    names: dict[str, int] = {}
    base = get(model, str, "name")
    secret = get(model, str, "source", "token_secret")
    for index, adapter in enumerate(adapters):
        name = get(adapter, str, "name")
        first = names.setdefault(name, index) if name else index
        taken = "the model" if name and name == base else f"adapters[{first}]"
        if first != index or taken == "the model":
            yield Relation((*at, "adapters", index, "name"), f"a name of its own: {taken} has this one")
        if get(adapter, str, "source", "quantised"):
            expected = "the field left out: an adapter is taken as it is"
            yield Relation((*at, "adapters", index, "source", "quantised"), expected)
        own = get(adapter, str, "source", "token_secret")
        secret = secret or own
        if own not in (None, secret):
            expected = (
                f"{secret!r}, as the model or another adapter has: one token fetches all files of a model"
            )
            yield Relation((*at, "adapters", index, "source", "token_secret"), expected, secret)
    told = sum(len(f"{name}=adapters/{name}.gguf,") for name in names)
    if told > MAX_VARIABLE:
        expected = (
            f"shorter names: the container is told all in one variable of {MAX_VARIABLE} characters at most"
        )
        yield Relation((*at, "adapters"), expected)
    for variable in ADAPTER_VARIABLES:
        if variable in (get(model, dict, "environment") or ()):
            expected = f"no {variable} with adapters: {ADAPTER_VARIABLES[variable]}"
            yield Relation((*at, "environment", variable), expected)
