"""What is an agency's own in a permission, and whether base has one like it elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cached_property

from quant_llm_tools.review.classify.comparison import StackSide, agency_of
from quant_llm_tools.review.classify.statements import Atom, atoms

_IMAGE = re.compile(r"\bImage-[\w.-]+")


class Likes:
    """The permissions that constructs of base have, without the names of models, agencies and images.

    A new model's role with the permissions of the other models' roles is no news beside the model itself.
    """

    def __init__(self, sides: Iterable[tuple[str, StackSide]]) -> None:
        self._sides = list(sides)

    @cached_property
    def _known(self) -> set[tuple[str, ...]]:
        return {
            _likeness(atom, stack, side)
            for stack, side in self._sides
            for held in atoms(side).values()
            for atom in held
        }

    def know(self, atom: Atom, stack: str, side: StackSide) -> bool:
        """Whether something in base has this permission on a thing of the same kind."""
        return _likeness(atom, stack, side) in self._known


def without_names(text: str, stack: str, side: StackSide) -> str:
    """The text with `<model>`, `<endpoint>`, `<account>` and the like for what is a stack's own."""
    agency = agency_of(stack)
    names = [(stack, "<stack>")]
    for model in side.endpoints:
        names += [(f"{agency}-{model}", "<endpoint>"), (model, "<model>")]
    for name, placeholder in sorted(names, key=lambda pair: -len(pair[0])):
        text = re.sub(_whole(name), placeholder, text)
    if side.environment is not None:
        text = text.replace(side.environment.account, "<account>")
        text = text.replace(side.environment.region, "<region>")
    return text


def names_one_of(text: str, stack: str, models: Collection[str]) -> bool:
    """Whether a text has the name of one of these models' endpoints."""
    return any(re.search(_whole(f"{agency_of(stack)}-{model}"), text) for model in models)


def _likeness(atom: Atom, stack: str, side: StackSide) -> tuple[str, ...]:
    texts = (atom.principal, atom.action, atom.resource, atom.condition)
    return tuple(_IMAGE.sub("<image>", without_names(text, stack, side)) for text in texts)


def _whole(name: str) -> str:
    return rf"(?<![\w-]){re.escape(name)}(?![\w-])"
