"""A checkout as a reader has it, and a shell in which they run one after the other."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quant_llm.paths import ROOT
from quant_llm_tools.demo import tool_environment


@dataclass(frozen=True)
class Result:
    """How a command ended, and all that it printed."""

    status: int
    output: str


def copy_repository(directory: Path) -> None:
    """What a person has after `git clone` and `make setup`: a commit on `main`, which `origin` has too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file() and not name.startswith("tests/"):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, directory / name)
    (directory / ".venv").symlink_to(sys.prefix)
    (directory / "node_modules").symlink_to(ROOT / "node_modules")
    (directory / ".git" / "info").mkdir(parents=True)
    (directory / ".git" / "info" / "exclude").write_text(".venv\nnode_modules\n")
    for git in (
        ("init", "--quiet", "--initial-branch", "main"),
        ("add", "--all"),
        ("commit", "--quiet", "--message", "as cloned"),
        ("update-ref", "refs/remotes/origin/main", "HEAD"),
    ):
        subprocess.run(["git", *git], cwd=directory, check=True, env=reader_environment(directory))


def reader_environment(directory: Path) -> dict[str, str]:
    """The environment of a reader whose checkout is `directory`: its code, and nothing of an account."""
    roots = (
        "constructs",
        "tools",
        "container/sagemaker",
        "container/exllamav2",
        "container/quantise",
        "lambdas",
    )
    who = {f"GIT_{role}_{what}": "reader" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {
        **tool_environment({}),
        **who,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_EDITOR": "true",  # a person closes the editor with the message as it is
        "CDK_REQUIRE_APPROVAL": "never",  # a person reads the list of permissions and types y
        "PYTHONPATH": ":".join(str(directory / root) for root in roots),
    }


def run_in_one_shell(
    lines: Sequence[str], directory: Path, notes: Path, *, timeout: float
) -> list[Result | None]:
    """Run each line in the same bash, whatever became of the one before; None: not ended in time."""
    script = []
    for number, line in enumerate(lines):
        (notes / f"{number}.sh").write_text(line + "\n", encoding="utf-8")
        place = shlex.quote(str(notes / str(number)))
        script.append(f"source {place}.sh >{place}.out 2>&1; echo $? >{place}.status")
    with subprocess.Popen(
        ["bash", "--norc", "-c", "\n".join(script)],
        cwd=directory,
        env=reader_environment(directory),
        stdin=subprocess.DEVNULL,
    ) as shell:
        try:
            shell.wait(timeout)
        except subprocess.TimeoutExpired:
            shell.kill()
    return [result(notes, number) for number in range(len(lines))]


def result(notes: Path, number: int) -> Result | None:
    """What the shell wrote down of a command."""
    status = notes / f"{number}.status"
    if not status.exists():
        return None
    output = (notes / f"{number}.out").read_text(encoding="utf-8", errors="replace")
    return Result(int(status.read_text()), output)


def filled(line: str, values: Mapping[str, str]) -> str:
    """The command with a reader's own values in the place of the page's examples."""
    for example, value in values.items():
        line = line.replace(example, value)
    return line
