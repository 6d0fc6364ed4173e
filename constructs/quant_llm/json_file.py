"""JSON files that this project writes, read back as models."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from quant_llm.errors import QuantLlmError

_Model = TypeVar("_Model", bound=BaseModel)


def read_json_file(model: type[_Model], path: Path, *, remedy: str, missing: str | None = None) -> _Model:
    """The file as a `model`; QuantLlmError when it can't be read, or isn't of its form.

    `remedy` ends the message about the form: who writes the file, and what to do. `missing` is said of a file
    that isn't there, in place of the system's words.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        if missing is not None and isinstance(error, FileNotFoundError):
            raise QuantLlmError(f"{path}: {missing}") from None
        raise QuantLlmError(f"{path}: can't be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(the whole file)"
        raise QuantLlmError(f"{path}: {field}: {first['msg']}; {remedy}") from None
