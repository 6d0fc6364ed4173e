"""The files of an asset, as the app staged them."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from quant_llm_tools.review.classify.comparison import StackSide

_ASSET = re.compile(r"\b([0-9a-f]{64})\.zip\b")


def asset_files(side: StackSide, text: str) -> Mapping[str, str] | None:
    """The text files of the asset whose archive a text names, by path.

    None where the files aren't there: of a live stack, say.
    """
    found = _ASSET.search(text)
    if found is None or side.assembly is None:
        return None
    folder = side.assembly / f"asset.{found[1]}"
    if not folder.is_dir():
        return None
    return {
        path.relative_to(folder).as_posix(): _text(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """The files that differ, with what happened to each: `new`, `removed`, `+3 -1 lines`."""
    found: dict[str, str] = {}
    for path in sorted({**before, **after}):
        old, new = before.get(path), after.get(path)
        if old is None:
            found[path] = "new"
        elif new is None:
            found[path] = "removed"
        elif old != new:
            gone, come = changed_lines(old, new)
            found[path] = f"+{len(come)} -{len(gone)} lines"
    return found


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that only one of two texts has, in order."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return (
        [line[1:] for line in lines if line.startswith("-")],
        [line[1:] for line in lines if line.startswith("+")],
    )


def same_code(before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Whether two folders differ in nothing but comments, docstrings and layout of Python files."""
    if before.keys() != after.keys():
        return False
    return all(
        before[path] == after[path] or (path.endswith(".py") and _same_python(before[path], after[path]))
        for path in before
    )


def _same_python(before: str, after: str) -> bool:
    try:
        return _meaning(before) == _meaning(after)
    except (SyntaxError, ValueError):
        return False


def _meaning(source: str) -> str:
    # The bytes: by a coding line what reads as a comment in UTF-8 may be a statement.
    tree = ast.parse(_bytes(source))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        is_documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if (
            is_documented
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            del body[0]
    return ast.dump(tree)


def _text(path: Path) -> str:
    """The file as text, no two files alike: what is no UTF-8 and each kind of line end are kept."""
    return path.read_bytes().decode("utf-8", errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogateescape")
