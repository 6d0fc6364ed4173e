"""`weights-changed`: which files of which repository a model is, and what they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from quant_llm.names import pascal_case
from quant_llm_tools.review.classify.comparison import MODEL, Comparison, StackSide
from quant_llm_tools.review.classify.words import count
from quant_llm_tools.review.model import Change, ChangeClass

ARTIFACT: Final = "Custom::ModelArtifact"

_MOST_FILES: Final = 8
_OF_WEIGHTS: Final = ("Repository", "Commit", "Files", "Key")
_WHY: Final = "These are the bytes that answer; nobody but this review and the lock's hashes looks at them."
_NEW_BYTES: Final = (
    "The new files are brought into the bucket and verified against the lock, then the endpoint moves over. "
    "The old artifact stays for a way back."
)
_SAME_BYTES: Final = "Nothing is downloaded and the endpoint goes on serving: the artifact has the same key."


def weights(comparison: Comparison) -> Iterator[Change]:
    """One change for each model whose artifact, or the shape in its lock, differs."""
    for logical_id in comparison.kept(ARTIFACT):
        model = comparison.path(logical_id).partition("/")[0]
        before = _weights(comparison.before, logical_id, model)
        after = _weights(comparison.after, logical_id, model)
        if comparison.differing(logical_id):
            comparison.explain(f"output {pascal_case(model)}ModelDataUrl")
        if not (before["shape"] and after["shape"]):
            before["shape"] = after["shape"] = {}  # of a live stack there is no lock
        if before == after:
            if _is_in_model(comparison, model):
                comparison.explain(logical_id, "Key")
            continue
        comparison.explain(logical_id, *_OF_WEIGHTS)
        old, new = _shown(before, after), _shown(after, before)
        is_new = before["files"] != after["files"]
        yield comparison.change(
            ChangeClass.WEIGHTS_CHANGED,
            comparison.path(logical_id),
            _summary(before, after, is_new=is_new),
            why=_WHY,
            effect=_NEW_BYTES if is_new else _SAME_BYTES,
            before=old,
            after=new,
        )


def sources_of(side: StackSide, logical_id: str) -> str:
    """Where an artifact's files come from: `owner/name at <commit>`, and the repositories of its adapters."""
    properties = side.properties(logical_id)
    others = [_origin(file) for file in properties.get("Files", ()) if "Origin" in file]
    return ", ".join([f"{properties.get('Repository')} at {properties.get('Commit')}", *others])


def _weights(side: StackSide, logical_id: str, model: str) -> dict[str, Any]:
    """Repository, commit and files as the template has them; the shape, where there is a lock."""
    properties = side.properties(logical_id)
    files = {
        file.get("Path"): {"bytes": _number(file.get("Size")), "sha256": file.get("Sha256")}
        for file in properties.get("Files", ())
    }
    found: dict[str, Any] = {
        "repository": properties.get("Repository"),
        "commit": properties.get("Commit"),
        "files": files,
        "origins": {file["Path"]: _origin(file) for file in properties.get("Files", ()) if "Origin" in file},
    }
    found["shape"] = _shape(side.lock, model)
    return found


def _origin(file: Mapping[str, Any]) -> str:
    """Where a file of another repository than the model's comes from, such as an adapter."""
    origin = file["Origin"]
    return f"{origin.get('Path')} of {origin.get('Repository')} at {origin.get('Commit')}"


def _is_in_model(comparison: Comparison, model: str) -> bool:
    """Whether the model's container differs, which tells of an artifact in another form."""
    ours = (one for one in comparison.kept(MODEL) if comparison.model_of(one) == model)
    return any("PrimaryContainer" in comparison.differing(one) for one in ours)


def _number(text: Any) -> int:
    """A size; templates have it as text. 0 for what is none."""
    return int(text) if str(text).isdecimal() else 0


def _shape(lock: str | None, model: str) -> Mapping[str, Any]:
    """The model's shape of a lock of any version; nothing where there is none."""
    try:
        shape = json.loads(lock or "{}")["models"][model]["shape"]
    except (ValueError, KeyError, TypeError):
        return {}
    return shape if isinstance(shape, Mapping) else {}


def _shown(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What differs of `one`, with the total size; of many files the first."""
    shown = {key: one[key] for key in ("repository", "commit") if one[key] != other[key]}
    files = {path: file for path, file in one["files"].items() if other["files"].get(path) != file}
    for path in list(files)[:_MOST_FILES]:
        shown[path] = f"{files[path]['bytes']:,} bytes, sha256 {files[path]['sha256']}"
    if len(files) > _MOST_FILES:
        shown["further files"] = len(files) - _MOST_FILES
    if files:
        shown["total bytes"] = _bytes(one)
    for path, origin in one["origins"].items():
        if other["origins"].get(path) != origin:
            shown[f"source of {path}"] = origin
    for name, value in one["shape"].items():
        if other["shape"] and other["shape"].get(name) != value:
            shown[name] = value
    return shown


def _bytes(one: Mapping[str, Any]) -> int:
    return sum(file["bytes"] for file in one["files"].values())


def _summary(before: Mapping[str, Any], after: Mapping[str, Any], *, is_new: bool) -> str:
    parts = []
    if before["repository"] != after["repository"]:
        parts.append(f"from {after['repository']} in place of {before['repository']}")
    if is_new:
        changed = {
            path
            for path in {**before["files"], **after["files"]}
            if before["files"].get(path) != after["files"].get(path)
        }
        parts.append(f"{count(len(changed), 'file')} {'differs' if len(changed) == 1 else 'differ'}")
        old, new = _bytes(before), _bytes(after)
        parts.append("with the same size" if old == new else f"{_size(old)} become {_size(new)}")
    elif before["commit"] != after["commit"]:
        parts.append("another commit with the same files")
    kinds = [one["shape"].get("quantization") for one in (before, after)]
    if None not in kinds and kinds[0] != kinds[1]:
        parts.append(f"{kinds[0]} becomes {kinds[1]}")
    elif not is_new and before["shape"] != after["shape"]:
        parts.append("another shape in the lock, for the same files")
    return ", ".join(parts) or "another source of the same files"


def _size(number: int) -> str:
    return f"{number / 2**30:,.2f} GiB" if number >= 2**30 else f"{number / 2**20:,.1f} MiB"
