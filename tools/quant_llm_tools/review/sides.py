"""The two sides of a review: what a commit, and the one it started from, synthesise to.

Both are synthesised with their own code, side by side, without credentials or network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.checkout import checked_out, commit_of, merge_base, repository_root

WORKING_TREE: Final = "working tree"

SYNTH_SECONDS: Final = 600
"""Longer than any app of this kind takes; what doesn't end by then hangs."""

# The app is the pull request's own code: of this process's environment it gets nothing that could be secret.
_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "XDG_CACHE_HOME")
_ENVIRONMENT_PREFIX = "JSII_"

_PATHS_IN_TEMPLATES = "aws:cdk:enable-path-metadata"
_VALIDATION_REFUSES = "@aws-cdk/core:validateAgainstDefaultRules"
_STACK = "aws:cloudformation:stack"
_ASSEMBLY = "cdk:cloud-assembly"


class Environment(NamedTuple):
    """The AWS account and region that a stack is for."""

    account: str
    region: str


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side: the templates by stack name, and where they were made.

    `name` is what a person calls it. `directory` is the checkout and `assembly` the cloud assembly made from
    it; both are there as long as `synthesised` is open, and None for templates from elsewhere. `refusal` is
    what the app said when it failed, and then there are no templates.
    """

    name: str
    templates: Mapping[str, Any] = field(default_factory=dict)
    environments: Mapping[str, Environment] = field(default_factory=dict)
    directory: Path | None = None
    assembly: Path | None = None
    refusal: str | None = None


@contextmanager
def synthesised(
    repository: Path,
    base: str,
    head: str | None = None,
    *,
    progress: Callable[[str], None] = lambda _text: None,
) -> Iterator[tuple[Side, Side]]:
    """Base and head of the repository that `repository` is in; `head` None is the working tree as it is.

    Base is the commit that both have in common, so that head shows its own changes and not, the other way
    round, those that were made to base since. QuantLlmError for refs that aren't there.
    """
    root = repository_root(repository)
    head_commit = commit_of(root, "HEAD" if head is None else head)
    base_commit = merge_base(root, commit_of(root, base), head_commit)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quantllm-review-")))
        checkouts = [stack.enter_context(checked_out(root, base_commit, scratch / "base"))]
        if head is None:
            checkouts.append(root)
        else:
            checkouts.append(stack.enter_context(checked_out(root, head_commit, scratch / "head")))
        names = (
            f"{base} ({base_commit[:12]})",
            WORKING_TREE if head is None else f"{head} ({head_commit[:12]})",
        )
        progress(f"synthesising {names[0]} and {names[1]}")
        before, after = synthesise_checkouts(list(zip(names, checkouts, strict=True)), scratch)
        yield before, after


def synthesise_checkouts(checkouts: Sequence[tuple[str, Path]], scratch: Path) -> list[Side]:
    """A side for each checkout and its name; their apps run at the same time, and none outlives this call.

    The cloud assemblies are left in `scratch`.
    """
    outputs = [scratch / f"assembly-{position}" for position in range(len(checkouts))]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for (_, directory), output in zip(checkouts, outputs, strict=True):
            processes.append(_started(directory, output))
        for (name, _), process in zip(checkouts, processes, strict=True):
            try:
                process.wait(SYNTH_SECONDS)
            except subprocess.TimeoutExpired:
                raise QuantLlmError(f"{name}: synth hasn't ended within {SYNTH_SECONDS} s") from None
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [
        _side(name, directory, output, process.returncode)
        for (name, directory), output, process in zip(checkouts, outputs, processes, strict=True)
    ]


def _started(directory: Path, output: Path) -> subprocess.Popen[bytes]:
    output.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIX)
    }
    programs = Path(sys.executable).parent  # jsii starts the `node` there
    environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', os.defpath)}"
    environment["CDK_OUTDIR"] = str(output)
    context = _context(directory)
    environment["CDK_CONTEXT_JSON"] = json.dumps(context)
    if not context.get(_VALIDATION_REFUSES):
        # CloudFormation's rules then only warn, and checking them takes most of the time of a synth.
        environment["CDK_VALIDATION"] = "false"
    with (output / "stderr.txt").open("wb") as errors:
        return subprocess.Popen(  # noqa: S603 - the app under review, with an environment of our choice
            [
                sys.executable,
                "-s",
                str(Path(__file__).with_name("app_process.py")),
                str(directory),
                *_source_roots(directory),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def _context(directory: Path) -> dict[str, Any]:
    """The context that the CDK CLI would give the app, with construct paths in the templates."""
    context = dict(_json(directory / "cdk.json").get("context", {}))
    looked_up = directory / "cdk.context.json"
    if looked_up.exists():
        context.update(_json(looked_up))
    return {**context, _PATHS_IN_TEMPLATES: True}


def _source_roots(directory: Path) -> Sequence[str]:
    """The folders that the checkout's own packages are in, as its pyproject.toml has them."""
    try:
        project = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))
        return [str(folder) for folder in project["tool"]["setuptools"]["packages"]["find"]["where"]]
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return []


def _side(name: str, directory: Path, output: Path, code: int) -> Side:
    if code != 0:
        said = (output / "stderr.txt").read_text(encoding="utf-8", errors="replace").strip()
        refusal = said.replace(f"{directory}{os.sep}", "") or f"the app ended with exit code {code}"
        return Side(name=name, directory=directory, assembly=output, refusal=refusal)
    templates: dict[str, Any] = {}
    environments: dict[str, Environment] = {}
    for folder, artifact_id, artifact in _stacks(output):
        stack = artifact["properties"].get("stackName", artifact_id)
        templates[stack] = _json(folder / artifact["properties"]["templateFile"])
        account, _, region = artifact["environment"].removeprefix("aws://").partition("/")
        environments[stack] = Environment(account, region)
    return Side(
        name=name, templates=templates, environments=environments, directory=directory, assembly=output
    )


def _stacks(assembly: Path) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """The stacks of an assembly and of those within it, which are an app's stages: folder, id, artifact."""
    for artifact_id, artifact in _json(assembly / "manifest.json").get("artifacts", {}).items():
        if artifact["type"] == _STACK:
            yield assembly, artifact_id, artifact
        elif artifact["type"] == _ASSEMBLY:
            yield from _stacks(assembly / artifact["properties"]["directoryName"])


def _json(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QuantLlmError(f"{path}: expected a JSON document: {error}") from None
    return document
