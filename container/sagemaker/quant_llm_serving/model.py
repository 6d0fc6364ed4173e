"""Which GGUF to serve: the one that `MODEL` names, or the only one there is."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from quant_llm_serving.errors import ModelError

SAGEMAKER_MODEL_DIRECTORY = PurePosixPath("/opt/ml/model")
_SHARD = re.compile(r"(?P<name>.+)-\d{5}-of-(?P<total>\d{5})\.gguf", re.IGNORECASE | re.ASCII)
_LISTED = 20


@dataclass(frozen=True)
class Gguf:
    """A model: one file, or all shards in order. llama.cpp is given the first and finds the rest by name."""

    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The model's name to its callers: that of the file, without the shard's number."""
        shard = _SHARD.fullmatch(self.files[0].name)
        return shard["name"] if shard else self.files[0].stem


def find_gguf(directory: Path, selector: str | None) -> Gguf:
    """The one model below `directory`, or the one that `selector` (path, glob or folder) names.

    A relative selector starts at `directory`, and one under /opt/ml/model means the same place in it.
    Raises ModelError if there is no such model, several, or one that lacks a shard, and lists what was found.
    """
    if not directory.is_dir():
        raise ModelError(f"the model directory {directory} does not exist")
    models = _models(_selected(directory, selector))
    if not models:
        subject = f"MODEL '{selector}' matches no GGUF file" if selector else "no GGUF file"
        raise ModelError(f"{subject} in {directory}, found {listing(directory)}")
    if len(models) > 1:
        subject = f"MODEL '{selector}' matches {len(models)} models" if selector else f"{len(models)} models"
        found = ", ".join(_describe(model.files, directory) for model in models)
        raise ModelError(f"{subject} in {directory}, expected one (MODEL can name it), found {found}")
    missing = [str(file.name) for file in models[0].files if not file.is_file()]
    if missing:
        raise ModelError(
            f"the shards of {models[0].name} are not complete in {models[0].files[0].parent}: "
            f"missing {', '.join(missing)}"
        )
    return models[0]


def path_in(directory: Path, name: str) -> Path:
    """What `name` means: relative to `directory`, also where it starts with /opt/ml/model, or absolute."""
    path = PurePosixPath(name)
    if path.is_relative_to(SAGEMAKER_MODEL_DIRECTORY):
        path = path.relative_to(SAGEMAKER_MODEL_DIRECTORY)
    return directory / path


def find_file(directory: Path, variable: str, name: str) -> Path:
    """The file that the environment variable `variable` names. Raises ModelError, listing what is there."""
    file = path_in(directory, name)
    if not file.is_file():
        raise ModelError(f"{variable} '{name}' is no file in {directory}, found {listing(directory)}")
    return file


def _selected(directory: Path, selector: str | None) -> list[Path]:
    if selector is None:
        return _ggufs(directory.rglob("*"))
    target = path_in(directory, selector)
    if target.is_dir():
        return _ggufs(target.rglob("*"))
    if target.is_file():
        return [target]
    return _ggufs(Path(match) for match in glob.glob(str(target), recursive=True))


def _ggufs(paths: Iterable[Path]) -> list[Path]:
    """The visible GGUF files among `paths` (macOS's tar packs a hidden `._x.gguf` beside each `x.gguf`)."""
    return sorted(
        path
        for path in paths
        if path.suffix.lower() == ".gguf" and not path.name.startswith(".") and path.is_file()
    )


def _models(files: Iterable[Path]) -> list[Gguf]:
    """Each file as a model, and each set of shards as one."""
    found: dict[tuple[Path, ...], Gguf] = {}
    for file in files:
        shards = _shards(file)
        found[shards] = Gguf(shards)
    return list(found.values())


def _shards(file: Path) -> tuple[Path, ...]:
    match = _SHARD.fullmatch(file.name)
    if match is None:
        return (file,)
    numbers = range(1, int(match["total"]) + 1)
    return tuple(file.with_name(f"{match['name']}-{n:05d}-of-{match['total']}.gguf") for n in numbers)


def listing(directory: Path) -> str:
    """The files below `directory`, with their sizes, for an error message."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    if not files:
        return "no files at all"
    more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    return ", ".join(_describe((file,), directory) for file in files[:_LISTED]) + more


def _describe(files: tuple[Path, ...], directory: Path) -> str:
    size = sum(file.stat().st_size for file in files if file.is_file())
    first = files[0].relative_to(directory) if files[0].is_relative_to(directory) else files[0]
    shards = f"{len(files)} shards, " if len(files) > 1 else ""
    return f"{first} ({shards}{size / 1e6:,.1f} MB)"
