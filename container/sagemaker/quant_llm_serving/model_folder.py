"""Which folder of a model in the form of Hugging Face's hub to serve, and whether all of it is there."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant_llm_serving.errors import ModelError
from quant_llm_serving.model import listing, path_in
from quant_llm_serving.safetensors import check_safetensors

_CONFIG = "config.json"
_TOKENIZER = "tokenizer.json"
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class ModelFolder:
    """A model. `quantisation` is the method's name in `config.json`, None for none."""

    path: Path
    name: str
    quantisation: str | None


def find_model_folder(directory: Path, selector: str | None) -> ModelFolder:
    """The one folder with a `config.json` at or below `directory`, or the one that `selector` names.

    A relative selector (path or glob) starts at `directory`. A folder within a model's folder belongs to it.
    Raises ModelError if there is no such model, or several, and lists what was found.
    """
    if not directory.is_dir():
        raise ModelError(f"the model directory {directory} does not exist")
    folders = _models(_selected(directory, selector))
    if not folders:
        subject = f"MODEL '{selector}' matches no folder" if selector else "no folder"
        raise ModelError(f"{subject} with a {_CONFIG} in {directory}, found {listing(directory)}")
    if len(folders) > 1:
        subject = (
            f"MODEL '{selector}' matches {len(folders)} models" if selector else f"{len(folders)} models"
        )
        found = ", ".join(str(folder.relative_to(directory)) for folder in folders)
        raise ModelError(f"{subject} in {directory}, expected one (MODEL can name it), found {found}")
    (path,) = folders
    settings = _object(path / _CONFIG).get("quantization_config")
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    # SageMaker unpacks to /opt/ml/model, which would be a poor name for a model.
    name = "model" if path == directory else path.name
    return ModelFolder(path, name, method if isinstance(method, str) else None)


def check_model_folder(model: ModelFolder) -> None:
    """Raises ModelError for a file that is missing or not whole."""
    if not (model.path / _TOKENIZER).is_file():
        raise ModelError(f"no {_TOKENIZER} in {model.path}, found {listing(model.path)}")
    weights = _visible(model.path.glob("*.safetensors"))
    if not weights:
        raise ModelError(f"no safetensors file in {model.path}, found {listing(model.path)}")
    if (model.path / _INDEX).is_file():
        places = _object(model.path / _INDEX).get("weight_map")
        named = {str(file) for file in places.values()} if isinstance(places, dict) else set()
        missing = sorted(named - {file.name for file in weights})
        # Some quantisers copy the original's index beside weights that they have put into other files.
        if missing and len(missing) < len(named):
            raise ModelError(f"the shards in {model.path} are not complete: missing {', '.join(missing)}")
    for file in weights:
        check_safetensors(file)


def _selected(directory: Path, selector: str | None) -> list[Path]:
    """The files `config.json` that may be the model's."""
    if selector is None:
        return _visible(directory.rglob(_CONFIG))
    target = path_in(directory, selector)
    folders = (
        [target] if target.is_dir() else [Path(match) for match in glob.glob(str(target), recursive=True)]
    )
    return _visible(file for folder in folders for file in folder.rglob(_CONFIG))


def _visible(files: Iterable[Path]) -> list[Path]:
    """Real files; macOS's tar packs a hidden `._x` beside each `x`."""
    return sorted(file for file in files if file.is_file() and not file.name.startswith("."))


def _models(files: Iterable[Path]) -> list[Path]:
    folders = {file.parent for file in files}
    return sorted(folder for folder in folders if not folders.intersection(folder.parents))


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} can't be read: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold an object")
    return value
