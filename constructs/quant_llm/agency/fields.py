"""Which fields a mapping of the agency file can have, and which of them an unknown one was meant to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from quant_llm.agency.config import AgencyConfig
from quant_llm.agency.problems import Location, nearest


def fields_at(location: Location) -> list[str]:
    """The fields of the mapping at a location; empty when no mapping of fixed fields is there."""
    model: type[BaseModel] | None = AgencyConfig
    for part in location:
        if isinstance(part, str) and model is not None:
            field = model.model_fields.get(part)
            model = _model_in(field.annotation) if field else None
    return list(model.model_fields) if model else []


def nearest_field(location: Location) -> str | None:
    """The field that an unknown one was meant to be: near in name, or of this name in another place."""
    name = str(location[-1])
    elsewhere = (path for path in _paths(AgencyConfig) if path.rpartition(".")[2] == name)
    return nearest(name, fields_at(location[:-1])) or next(elsewhere, None)


def _paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        inner = _model_in(field.annotation)
        if inner:
            listed = "[]" if get_origin(field.annotation) is tuple else ""
            yield from _paths(inner, f"{prefix}{name}{listed}.")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
