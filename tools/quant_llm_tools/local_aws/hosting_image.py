"""What a container image would start with, read from its Dockerfile: ENTRYPOINT and ENV.

The embedded AWS builds no image. It runs the same entrypoint as a process, so it needs of the Dockerfile only
what `docker run` would take from the built image.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from quant_llm_tools.local_aws.hosting_errors import DeploymentFailed

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class ImageConfiguration:
    """The command line of the image's ENTRYPOINT and the environment of its ENV instructions."""

    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]


def read_image(context: Path) -> ImageConfiguration:
    """Read the one `<engine>/Dockerfile` of a build context.

    Raises DeploymentFailed if there is none or more than one, or if it has no ENTRYPOINT in JSON form.
    """
    dockerfiles = sorted(context.glob("*/Dockerfile"))
    if len(dockerfiles) != 1:
        found = ", ".join(str(path.relative_to(context)) for path in dockerfiles) or "none"
        raise DeploymentFailed(f"the image's build context must hold one Dockerfile, found {found}")
    return parse_dockerfile(dockerfiles[0].read_text(encoding="utf-8"))


def parse_dockerfile(text: str) -> ImageConfiguration:
    """ENTRYPOINT and ENV of the last stage. Variables in ENV are replaced as Docker does, by ARG and ENV."""
    arguments: dict[str, str] = {}
    environment: dict[str, str] = {}
    entrypoint: tuple[str, ...] = ()
    for instruction, rest in _instructions(text):
        if instruction == "FROM":
            environment, entrypoint = {}, ()
        elif instruction == "ARG":
            name, given, value = rest.partition("=")
            if given or name not in arguments:  # a name alone has the value from before the first FROM
                arguments[name] = "".join(shlex.split(value))
        elif instruction == "ENV":
            environment |= _assignments(rest, {**arguments, **environment})
        elif instruction == "ENTRYPOINT":
            entrypoint = _command(rest)
    if not entrypoint:
        raise DeploymentFailed("the image's Dockerfile has no ENTRYPOINT")
    return ImageConfiguration(entrypoint, environment)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction's name and arguments, with comments dropped and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name:
            yield name.upper(), rest.strip()


def _assignments(rest: str, variables: Mapping[str, str]) -> dict[str, str]:
    def value_of(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2], "")

    words = shlex.split(rest)
    if "=" not in words[0]:  # the old form, ENV NAME all the rest
        words = [f"{words[0]}={' '.join(words[1:])}"]
    pairs = (word.partition("=") for word in words)
    return {name: _VARIABLE.sub(value_of, value) for name, _, value in pairs}


def _command(rest: str) -> tuple[str, ...]:
    try:
        command = json.loads(rest)
    except ValueError:
        command = None
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise DeploymentFailed(
            f"the image's ENTRYPOINT must be a JSON array, or SageMaker's serve is dropped: {rest}"
        )
    return tuple(command)
