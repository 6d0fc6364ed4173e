"""What a platform engineer may say of image builds, in the `context` of cdk.json."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aws_cdk import aws_codebuild as codebuild
from constructs import Node

from quant_llm.engines import BUILDS, JOB_BUILDS
from quant_llm.errors import QuantLlmError

CONTEXT_KEY = "image_builds"

_BUILDS = {**BUILDS, **{build.engine: build for build in JOB_BUILDS.values()}}

_COMPUTE = {
    "BUILD_GENERAL1_SMALL": codebuild.ComputeType.SMALL,
    "BUILD_GENERAL1_MEDIUM": codebuild.ComputeType.MEDIUM,
    "BUILD_GENERAL1_LARGE": codebuild.ComputeType.LARGE,
    "BUILD_GENERAL1_XLARGE": codebuild.ComputeType.X_LARGE,
    "BUILD_GENERAL1_2XLARGE": codebuild.ComputeType.X2_LARGE,
}
_DEFAULT_COMPUTE = "BUILD_GENERAL1_XLARGE"
_COMPUTE_FIELD = "compute"
_ARGUMENTS_FIELD = "arguments"


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """The size of CodeBuild's machine, and build arguments by engine that win over the Dockerfile's.

    The small sizes run out of memory in the CUDA compiler.
    """

    compute: codebuild.ComputeType = _COMPUTE[_DEFAULT_COMPUTE]
    arguments_of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def from_context(cls, node: Node) -> ImageSettings:
        """Read `image_builds`, such as
        `{"compute": "BUILD_GENERAL1_LARGE", "arguments": {"llama.cpp": {"BASE_IMAGE": "…@sha256:…"}}}`.

        Raises QuantLlmError for what is unknown or of the wrong type.
        """
        given = _table(node.try_get_context(CONTEXT_KEY) or {}, CONTEXT_KEY)
        _refuse_unknown(given, (_COMPUTE_FIELD, _ARGUMENTS_FIELD), CONTEXT_KEY)
        arguments_at = f"{CONTEXT_KEY}.{_ARGUMENTS_FIELD}"
        arguments_of = _table(given.get(_ARGUMENTS_FIELD, {}), arguments_at)
        _refuse_unknown(arguments_of, _BUILDS, arguments_at)
        for engine, arguments in arguments_of.items():
            at = f"{arguments_at}.{engine}"
            _refuse_unknown(_table(arguments, at), _BUILDS[engine].known_arguments, at)
            for name, value in arguments.items():
                if not isinstance(value, str):
                    raise QuantLlmError(f"cdk.json: {at}.{name} must be text, got {value!r}")
        compute = given.get(_COMPUTE_FIELD, _DEFAULT_COMPUTE)
        if compute not in _COMPUTE:
            at = f"{CONTEXT_KEY}.{_COMPUTE_FIELD}"
            raise QuantLlmError(f"cdk.json: {at} must be one of {', '.join(_COMPUTE)}, got {compute!r}")
        return cls(compute=_COMPUTE[compute], arguments_of=arguments_of)

    def arguments(self, engine: str) -> Mapping[str, str]:
        """The build arguments for an engine's image."""
        return self.arguments_of.get(engine, {})


def _table(value: Any, at: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise QuantLlmError(f"cdk.json: {at} must be an object, got {value!r}")
    return value


def _refuse_unknown(given: Iterable[str], known: Iterable[str], at: str) -> None:
    names = list(known)
    for name in given:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1)
            hint = f", did you mean {nearest[0]}" if nearest else ""
            raise QuantLlmError(
                f"cdk.json: {at} has no {name!r}{hint}, expected one of {', '.join(sorted(names))}"
            )
