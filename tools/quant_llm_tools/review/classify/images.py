"""`image-changed`: another container image, and what in it is another."""

from __future__ import annotations

import copy
import itertools
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from quant_llm_tools.review.classify.comparison import GENERATED_NAMES, MODEL, Comparison, StackSide
from quant_llm_tools.review.classify.files import asset_files, changed_files, changed_lines
from quant_llm_tools.review.classify.words import count, listed, text_of
from quant_llm_tools.review.model import Change, ChangeClass

IMAGE: Final = "Custom::EngineImage"
_DIGEST: Final = "Custom::EngineImageDigest"
_PROJECT: Final = "AWS::CodeBuild::Project"
_POLICY: Final = "AWS::IAM::Policy"

_MOST: Final = 12
_WHY: Final = "The image is the code that reads the weights and every prompt."
_BUILT: Final = "CodeBuild builds it during the deploy, before the endpoints move to it."
_ARGUMENT: Final = re.compile(r"^ARG\s+(\w+)=(\S*)", re.MULTILINE)
_FROM: Final = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)", re.MULTILINE)
_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")
_BUILD_ARGUMENT: Final = "--build-arg"


@dataclass(frozen=True)
class _Recipe:
    """What an image is built from. Without `files`, of a live stack, the arguments are the build's alone."""

    tag: str | None
    dockerfile: str
    arguments: Mapping[str, str]
    files: Mapping[str, str] | None

    @property
    def bases(self) -> list[str]:
        """The images that it is built on, with the arguments filled in."""
        text = (self.files or {}).get(self.dockerfile, "")
        found = (
            _VARIABLE.sub(lambda name: self.arguments.get(name[1], name[0]), one)
            for one in _FROM.findall(text)
        )
        return list(dict.fromkeys(found))


def images(comparison: Comparison) -> Iterator[Change]:
    """Images that the stack builds, and those that a model names or goes over to."""
    for logical_id in comparison.kept(IMAGE):
        yield from _built(comparison, logical_id)
    yield from _built_otherwise(comparison)
    for scope in _scopes_of(comparison, comparison.added(IMAGE)):
        _explain(comparison, scope, comparison.added())
    for scope in _scopes_of(comparison, comparison.removed(IMAGE)):
        _explain(comparison, scope, comparison.removed())
    for logical_id in comparison.kept(MODEL):
        before = _image(comparison.before, logical_id)
        after = _image(comparison.after, logical_id)
        if before != after:
            yield comparison.change(
                ChangeClass.IMAGE_CHANGED,
                comparison.path(logical_id),
                _named(before, after),
                why=_WHY,
                effect=_BUILT
                if after.startswith("${")
                else "It is pulled as it is: nothing here builds or checks it.",
                before=before,
                after=after,
            )


def _built(comparison: Comparison, logical_id: str) -> Iterator[Change]:
    scope = comparison.path(logical_id).partition("/")[0]
    before, after = (
        _recipe(comparison.before, scope, logical_id),
        _recipe(comparison.after, scope, logical_id),
    )
    if before.tag == after.tag:
        return
    comparison.explain(logical_id)
    for one in comparison.kept(_DIGEST, _PROJECT, _POLICY):
        if comparison.path(one).partition("/")[0] == scope:
            _explain_names(comparison, one)
    old, new = _shown(before, after), _shown(after, before)
    files: dict[str, str] = {}
    if before.files is not None and after.files is not None:
        files = changed_files(before.files, after.files)
        gone, come = changed_lines(
            before.files.get(before.dockerfile, ""), after.files.get(after.dockerfile, "")
        )
        old.update({"Dockerfile": gone[:_MOST]} if gone else {})
        new.update({"Dockerfile": come[:_MOST]} if come else {})
        new["files"] = [f"{path}: {what}" for path, what in files.items()][:_MOST]
    yield comparison.change(
        ChangeClass.IMAGE_CHANGED,
        scope,
        _summary(before, after, files),
        why=_WHY,
        effect=_BUILT,
        before=old,
        after=new,
    )


def _recipe(side: StackSide, scope: str, logical_id: str) -> _Recipe:
    tag = side.properties(logical_id).get("Tag")
    for one in side.of_type(_PROJECT):
        if side.paths[one].partition("/")[0] == scope:
            project = side.properties(one)
            source = project.get("Source", {})
            variables = {
                variable.get("Name"): variable.get("Value")
                for variable in project.get("Environment", {}).get("EnvironmentVariables", ())
            }
            dockerfile = str(variables.get("DOCKERFILE", "Dockerfile"))
            files = asset_files(side, text_of_location(source.get("Location"), side))
            defaults = dict(_ARGUMENT.findall((files or {}).get(dockerfile, "")))
            return _Recipe(tag, dockerfile, {**defaults, **_build_arguments(source.get("BuildSpec"))}, files)
    return _Recipe(tag, "Dockerfile", {}, None)


def text_of_location(location: Any, side: StackSide) -> str:
    """The source's bucket and key, with the asset's hash in it."""
    return location if isinstance(location, str) else json.dumps(location)


def _build_arguments(spec: Any) -> dict[str, str]:
    """The `--build-arg`s of a build's commands."""
    try:
        phases = json.loads(spec)["phases"].values()
    except (TypeError, ValueError, KeyError):
        return {}
    found: dict[str, str] = {}
    for command in (command for phase in phases for command in phase.get("commands", ())):
        for option, value in itertools.pairwise(_words(command)):
            if option == _BUILD_ARGUMENT:
                name, _, text = value.partition("=")
                found[name] = text
    return found


def _words(command: Any, *, unquoted: bool = True) -> list[str]:
    """The words of a command; all of it as one where a shell finds no end of a quotation."""
    try:
        return shlex.split(str(command), posix=unquoted)
    except ValueError:
        return [str(command)]


def _built_otherwise(comparison: Comparison) -> Iterator[Change]:
    """Builds with other commands, or of files from elsewhere: no tag and no file of the image shows that."""
    for logical_id in comparison.kept(_PROJECT):
        before, after = (_source(side, logical_id) for side in (comparison.before, comparison.after))
        if _without_arguments(before) == _without_arguments(after):
            continue
        comparison.explain(logical_id, "Source")
        yield comparison.change(
            ChangeClass.IMAGE_CHANGED,
            comparison.path(logical_id),
            "the image is built in another way",
            why=_WHY,
            effect="From the next build on; an image that is there already is not built again.",
            before=before,
            after=after,
        )


def _source(side: StackSide, logical_id: str) -> dict[str, Any]:
    """A build's source: its commands by phase, and where its files are but for their hash."""
    source = dict(side.properties(logical_id).get("Source", {}))
    source["Location"] = text_of(source.get("Location", ""), side)
    try:
        source["BuildSpec"] = json.loads(source["BuildSpec"])
    except (TypeError, ValueError, KeyError):
        return source
    return source


def _without_arguments(source: Mapping[str, Any]) -> dict[str, Any]:
    """The source without the `--build-arg`s, which the image's own change shows."""
    kept = copy.deepcopy(dict(source))
    try:
        for phase in kept["BuildSpec"]["phases"].values():
            phase["commands"] = [_without_options(one) for one in phase.get("commands", ())]
    except (TypeError, KeyError, AttributeError):
        return dict(source)
    return kept


def _without_options(command: Any) -> list[str]:
    words = _words(command, unquoted=False)
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if _BUILD_ARGUMENT not in (before, word)
    ]


def _shown(one: _Recipe, other: _Recipe) -> dict[str, Any]:
    shown: dict[str, Any] = {"tag": one.tag}
    if one.bases != other.bases:
        shown["base images"] = one.bases
    shown.update({name: text for name, text in one.arguments.items() if other.arguments.get(name) != text})
    return shown


def _summary(before: _Recipe, after: _Recipe, files: Mapping[str, str]) -> str:
    gone = [base for base in before.bases if base not in after.bases]
    come = [base for base in after.bases if base not in before.bases]
    parts = [f"the base {listed(gone) or 'none'} becomes {listed(come) or 'none'}"] if gone or come else []
    for name in {**before.arguments, **after.arguments}:
        old, new = before.arguments.get(name), after.arguments.get(name)
        if old != new and new not in come:
            parts.append(f"{name} {old or 'unset'} becomes {new or 'unset'}")
    if files:
        parts.append(f"{count(len(files), 'file')} of its context")
    return f"another image: {'; '.join(parts)}" if parts else "another image"


def _image(side: StackSide, logical_id: str) -> str:
    properties = side.properties(logical_id)
    containers = [properties.get("PrimaryContainer"), *properties.get("Containers", ())]
    return ", ".join(text_of(one.get("Image"), side) for one in containers if one)


def _named(before: str, after: str) -> str:
    was_built, is_built = before.startswith("${"), after.startswith("${")
    if was_built and is_built:
        return "another engine's image"
    if is_built:
        return "an image that the stack builds, in place of one that exists already"
    if was_built:
        return "an image that exists already, in place of the one that the stack builds"
    same_repository = re.split("[:@]", before)[0] == re.split("[:@]", after)[0]
    return "another image of the same repository" if same_repository else "an image of another repository"


def _scopes_of(comparison: Comparison, logical_ids: list[str]) -> set[str]:
    return {comparison.path(one).partition("/")[0] for one in logical_ids}


def _explain(comparison: Comparison, scope: str, logical_ids: list[str]) -> None:
    for one in logical_ids:
        if comparison.path(one).partition("/")[0] == scope:
            comparison.explain(one)


def _explain_names(comparison: Comparison, logical_id: str) -> None:
    """What differs with the image's tag and the hash of its source, and in nothing else."""
    kind = comparison.after.resources[logical_id]["Type"]
    if kind == _POLICY:
        comparison.explain(logical_id, GENERATED_NAMES)
    elif kind == _DIGEST:
        comparison.explain(logical_id)
    if kind != _PROJECT:
        return
    sides = [side.properties(logical_id) for side in (comparison.before, comparison.after)]
    comparison.explain(logical_id, "Source")
    environments = [_without_tag(one.get("Environment", {})) for one in sides]
    if environments[0] == environments[1]:
        comparison.explain(logical_id, "Environment")


def _without_tag(environment: Mapping[str, Any]) -> dict[str, Any]:
    variables = [one for one in environment.get("EnvironmentVariables", ()) if one.get("Name") != "IMAGE_TAG"]
    return {**environment, "EnvironmentVariables": variables}
