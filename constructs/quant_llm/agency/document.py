"""A YAML file as plain data, with the line and column of every value.

The file is composed to nodes and read from there, so that positions in flow mappings are right too, duplicate
keys are seen, and numbers can be shown as they were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from quant_llm.agency.problems import (
    HIDDEN,
    AgencyFileError,
    Location,
    Problem,
    looks_like_secret,
    problem_at,
)

_TAG = "tag:yaml.org,2002:"
_LONGEST_SHOWN = 120


@dataclass(frozen=True)
class Value:
    """Where a value stands (line and column from 1) and how it is written, in words for a message."""

    position: tuple[int, int]
    key_position: tuple[int, int] | None
    written: str

    @property
    def place(self) -> tuple[int, int]:
        """Where to point for this value: at itself on its key's line, else at its key."""
        if self.key_position and self.key_position[0] != self.position[0]:
            return self.key_position
        return self.position


@dataclass(frozen=True)
class Document:
    """The data of a YAML file and where each part of it stands; `problems` are those of the YAML itself.

    `refused` are the locations that those problems are about. All documents compare equal, so that two
    configurations are equal when their fields are.
    """

    file: str = field(compare=False)
    data: Any = field(compare=False, default=None)
    values: Mapping[Location, Value] = field(compare=False, default_factory=dict)
    problems: tuple[Problem, ...] = field(compare=False, default=())
    refused: frozenset[Location] = field(compare=False, default=frozenset())

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a file; AgencyFileError when it can't be read or is no YAML mapping."""
        file = display_name(path)
        try:
            text = path.read_bytes().decode()
        except OSError as error:
            raise AgencyFileError([_whole(file, f"can't be read: {error.strerror}")]) from None
        except UnicodeDecodeError:
            raise AgencyFileError([_whole(file, "can't be read: it is not UTF-8 text")]) from None
        reader = _Reader(file)
        try:
            root = YAML(typ="safe", pure=True).compose(text)
            if root is None:
                raise AgencyFileError([_whole(file, "is empty")])
            data = reader.read(root, ())
        except YAMLError as error:
            raise AgencyFileError([_syntax_problem(file, text, error)]) from None
        except RecursionError:
            raise AgencyFileError([_whole(file, "can't be read: it is nested too deeply")]) from None
        return cls(file, data, reader.values, tuple(reader.problems), frozenset(reader.refused))

    def place(self, location: Location) -> tuple[int | None, int | None]:
        """Line and column of a value, or of the nearest thing around it when it isn't there."""
        while location and location not in self.values:
            location = location[:-1]
        return self.values[location].place if location in self.values else (None, None)

    def key_place(self, location: Location) -> tuple[int | None, int | None]:
        """Line and column of a value's key."""
        value = self.values.get(location)
        return value.key_position if value and value.key_position else self.place(location)

    def written(self, location: Location) -> str:
        """How the file gives the value, in words: `'text'`, `12`, `a list`, `nothing`; never a secret."""
        return self.values[location].written if location in self.values else "nothing"

    def problem(self, location: Location, message: str, *, at_key: bool = False) -> Problem:
        """A problem with a value, or with the key that it is given under."""
        place = self.key_place(location) if at_key else self.place(location)
        return problem_at(self.file, place, location, message)

    def wrong(
        self,
        location: Location,
        expected: str,
        nearest: str | None = None,
        *,
        got: str | None = None,
        at_key: bool = False,
        hint: str = "",
    ) -> Problem:
        """A problem that reads 'got …, expected …; did you mean …?'.

        `got` is as written unless given, and `hint` takes the place of the question.
        """
        got = self.written(location) if got is None else got
        hint = hint or (f"did you mean {nearest!r}?" if nearest else "")
        message = f"got {got}, expected {expected}" + (f"; {hint}" if hint else "")
        place = self.key_place(location) if at_key else self.place(location)
        return problem_at(self.file, place, location, message, got=got, expected=expected, nearest=nearest)


def display_name(path: Path) -> str:
    """The path from the current folder when it is inside, so that messages can be clicked and pasted."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else str(path)


class _Reader:
    """Turns nodes into plain data and notes where each stands."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[Location, Value] = {}
        self.problems: list[Problem] = []
        self.refused: set[Location] = set()
        yaml = YAML(typ="safe", pure=True)
        self._constructor, self._resolver = yaml.constructor, yaml.resolver
        self._open: list[Node] = []

    def read(self, node: Node, location: Location, key: Node | None = None) -> Any:
        self.values[location] = Value(_position(node), _position(key) if key else None, _written(node))
        if node in self._open:
            return self._refuse(location, "an alias to something that contains it", "a value")
        self._open.append(node)
        try:
            return self._read(node, location)
        finally:
            self._open.pop()

    def _read(self, node: Node, location: Location) -> Any:
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, location)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self.read(item, (*location, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag == _TAG + "null":
            return self._refuse(location, "nothing", "a value, or the line left out")
        if isinstance(node, ScalarNode):
            try:
                return self._constructor.construct_object(node)
            except (YAMLError, ValueError):
                pass  # a tag of its own, or one that the text doesn't fit: refused below
            if node.tag == self._resolver.resolve(ScalarNode, node.value, (True, False)):
                kind = str(node.tag).removeprefix(_TAG)
                return self._refuse(
                    location, f"what looks like YAML's type {kind!r} and isn't", "text in quotes"
                )
        return self._refuse(location, f"the YAML tag {node.tag!r}", "plain YAML without tags")

    def _mapping(self, node: MappingNode, location: Location) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                self._refuse(location, f"{_written(key)} as a key", "names as keys")
                continue
            inner = (*location, str(key.value))
            if key.value in data:
                first = self.values[inner].key_position or (0, 0)
                message = f"given twice; it is on line {first[0]} already"
                self.problems.append(problem_at(self.file, _position(key), inner, message))
                continue
            data[str(key.value)] = self.read(item, inner, key)
        return data

    def _refuse(self, location: Location, got: str, expected: str) -> None:
        self.refused.add(location)
        place, message = self.values[location].place, f"got {got}, expected {expected}"
        self.problems.append(problem_at(self.file, place, location, message, got=got, expected=expected))


def _position(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _written(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    text = str(node.value)
    if looks_like_secret(text):
        return HIDDEN
    if node.tag == _TAG + "null":
        return "nothing"
    text = text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
    return repr(text) if node.tag == _TAG + "str" else text


def _whole(file: str, message: str) -> Problem:
    return problem_at(file, (None, None), (), message)


def _syntax_problem(file: str, text: str, error: YAMLError) -> Problem:
    """The parser's words without its quotation of the line, which may hold anything."""
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        message = " ".join(str(error.problem).split())
        context = error.context_mark
        if error.context and isinstance(context, StringMark) and mark and context.line != mark.line:
            message += f" {error.context} that starts on line {context.line + 1}"
        place = (mark.line + 1, mark.column + 1) if mark else (None, None)
        return problem_at(file, place, (), f"no valid YAML: {message}")
    if isinstance(error, ReaderError):
        before = text[: error.position]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        return problem_at(file, place, (), "no valid YAML: a control character")
    return _whole(file, "no valid YAML")
