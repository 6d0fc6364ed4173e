"""Whether recipes fit their methods, and models the recipes whose results they serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quant_llm.agency.loose import Relation, get
from quant_llm.agency.problems import Location
from quant_llm.names import pascal_case

_OF_METHODS: Mapping[str, tuple[str, ...]] = {
    "type": ("gguf",),
    "bits": ("exl2", "gptq"),
    "group_size": ("gptq",),
    "seed": ("gptq",),
    "calibration": ("gguf", "gptq"),
}
_WANTED: Mapping[str, tuple[str, ...]] = {
    "gguf": ("type",),
    "exl2": ("bits",),
    "gptq": ("bits", "calibration"),
}
_ENGINES_OF_METHOD: Mapping[str, tuple[str, ...]] = {
    "gguf": ("llama.cpp",),
    "exl2": ("exllamav2",),
    "gptq": ("exllamav2", "vllm"),
}
_GPTQ_BITS = 4  # ExLlamaV2 reads no others

GROUP_SIZES = (32, 64, 128)
"""What `group_size` of GPTQ can be."""

_GPU_FAMILIES = ("g5", "g6", "g6e", "g7", "g7e", "p5")  # of SageMaker processing, of capability 8.0 or later


def recipe_relations(data: Any) -> Iterator[Relation]:
    """What is wrong with the recipes under `quantise`."""
    taken = {get(model, str, "name") for model in get(data, list, "models") or ()}
    outputs: dict[str, str] = {}
    for index, recipe in enumerate(get(data, list, "quantise") or ()):
        at = ("quantise", index)
        name, method = get(recipe, str, "name"), get(recipe, str, "method") or ""
        if name and name in taken:
            yield Relation((*at, "name"), "a name of its own: a model or another recipe has this one")
        elif name and (first := outputs.setdefault(pascal_case(name), name)) != name:
            yield Relation((*at, "name"), own_name(name, "another recipe", first))
        taken.add(name)
        if get(recipe, str, "source", "quantised"):
            yield Relation((*at, "source", "quantised"), "unquantised weights, so no `quantised` in a recipe")
        if method in _WANTED:
            yield from _settings(recipe, method, at)


def own_name(name: str, other: str, others: str) -> str:
    """What is expected of a name that `other` has, as it is or but for hyphens."""
    if name == others:
        return f"a name of its own: {other} has this one"
    return (
        f"a name that is not only in its hyphens another than that of {other}, {others!r}: the keys of the "
        "stack's outputs have none"
    )


def _settings(recipe: Any, method: str, at: Location) -> Iterator[Relation]:
    for field, of in _OF_METHODS.items():
        if field in recipe and method not in of:
            expected = f"the field left out with method: {method}, it is of {' and '.join(of)}"
            yield Relation((*at, field), expected)
    for field in _WANTED[method]:
        if field not in recipe:
            yield Relation((*at, "method"), f"a `{field}` beside method: {method}")
    if method == "gptq" and recipe.get("bits", _GPTQ_BITS) != _GPTQ_BITS:
        expected = f"{_GPTQ_BITS} with method: gptq, no other number is read by exllamav2"
        yield Relation((*at, "bits"), expected, str(_GPTQ_BITS))
    family = (get(recipe, str, "instance_type") or "").split(".")[1:2]
    if method != "gguf" and family and family[0] not in _GPU_FAMILIES:
        expected = f"a GPU of capability 8.0 or later with method: {method}: ml.{', ml.'.join(_GPU_FAMILIES)}"
        yield Relation((*at, "instance_type"), expected)
    size = get(recipe, int, "group_size")
    if size is not None and size not in GROUP_SIZES:
        nearest = min(GROUP_SIZES, key=lambda one: abs(one - size))
        yield Relation((*at, "group_size"), "32, 64 or 128", str(nearest))


def quantised_relations(data: Any, model: Any, at: Location) -> Iterator[Relation]:
    """What is wrong with the use that the model at a location makes of a recipe."""
    name, at = get(model, str, "source", "quantised"), (*at, "source")
    if name is None:
        return
    recipes = {get(recipe, str, "name"): recipe for recipe in get(data, list, "quantise") or ()}
    if name not in recipes:
        yield Relation((*at, "quantised"), f"the name of an entry under `quantise`, not {name!r}")
        return
    recipe = recipes[name]
    for field, default in (("hub", None), ("revision", "main")):
        here = get(model, str, "source", field) or default
        there = get(recipe, str, "source", field) or default
        if here != there:
            yield Relation((*at, field), f"that of the recipe {name!r}", there)
    for field in ("files", "token_secret"):
        if model["source"].get(field):
            yield Relation((*at, field), "the field left out beside `quantised`")
    method, engine = get(recipe, str, "method") or "", get(model, str, "engine")
    engines = _ENGINES_OF_METHOD.get(method, ())
    if engines and engine and engine not in engines:
        reads = "which reads" if len(engines) == 1 else "which read"
        expected = f"{' or '.join(engines)}, {reads} what method: {method} makes"
        yield Relation((*at[:-1], "engine"), expected, engines[0])
