"""Every command of the documents is run, as by a reader, in a checkout of one's own on the embedded AWS.

The README's commands come first: they start the embedded AWS, deploy to it, and add the agency `moh`. The
pages follow in the order of their names, in the same shell. A command that stands on several pages is run
once, but for the deploys of a change and of the way back.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.document_commands import Result, copy_repository, filled, reader_environment, run_in_one_shell
from tests.unit.docs.pages import Command, commands, program

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

# What can't run here, by the beginning of the command.
NOT_RUN = {
    "make setup": "installs from package indexes; CI begins with it",
    "make demo": "tests/e2e/test_demo.py runs it",
    "make test": "runs this test",
    "make drills": "tests/e2e/test_drills.py runs them",
    "make upgrade": "tests/e2e/test_upgrade.py runs it",
    "make sbom": "tests/unit/ci runs what it runs; make would install first",
    "make images": "podman and root; CI runs it after the tests",
    "docker ": "needs Docker",
    "aws ": "the AWS CLI is not among the tools that the project installs",
    "pip download": "downloads; tests/integration/clients compares what the next line makes",
    "python -m quant_llm_tools.engine_images": "reads the download",
    ".venv/bin/python -m ": "the tests' own, which the suite runs",
    ".venv/bin/python benchmarks/": "minutes on a machine that does nothing else",
    "benchmarks/gpu/": "needs a GPU",
    "python3 -m benchmarks.gpu.": "needs a GPU",
    "quantllm prices refresh": "tests/integration/prices runs it; only AWS's own prices go into the file",
    "quantllm quantise": "tests/e2e/test_own_weights.py runs it with tools that stand in",
    "quantllm bench --local": "tests/integration/bench runs it",
    "quantllm bench moh-mistral-7b": "the README's of the default agency does the same",
    "quantllm bench http://": "needs a container on port 8080; tests/integration/bench has a server",
    'quantllm invoke moh-mistral-7b "Who may sign?"': "tests/e2e/test_own_weights.py runs it with an adapter",
    "PYTHONPATH=tools:constructs python3 -m ": "needs a forge; tests/integration/review runs it on stand-ins",
}
# What stands for a reader's own.
VALUES = {
    "https://hub.moh.example": "$HF_ENDPOINT",
    "owner/name": "casperhansen/llama-3-70b-instruct-awq",
    "<commit>": "HEAD",
    # An answer may be as long as the context.
    '"Write a haiku"': '"Write a haiku" --max-tokens 8',
    # The same commit in the reader's checkout, so the same review.
    "--base origin/main": "--base main",
}
SHORT = " --quick --prompts 5 --seconds 1 --max-streams 1 --max-tokens 4"
CHANGES = "docs/change-a-model.md"
LAST = "quantllm local down"
SECONDS = 800

CAPITAL = (
    'quantllm invoke default-smollm2-135m "What is the capital of France?" '
    '--system "You are a helpful assistant." --temperature 0 --stream'
)
# What a reader does by hand before a command is typed, as a line of the shell.
BY_HAND = {
    ("README.md", "quantllm agencies check agencies/moh.yaml"): (
        "git switch --quiet --create moh; "
        "sed 's/^agency: default/agency: moh/; s/name: smollm2-135m/name: mistral-7b/' agencies/default.yaml "
        "> agencies/moh.yaml"
    ),
    ("README.md", "cdk deploy QuantLlmStack-moh"): (
        "git add agencies && git commit --quiet --message 'Agency moh'"
    ),
    ("README.md", "quantllm bench compare bf16.json q4.json"): "cp q4.json bf16.json; cp q4.json q8.json",
    (CHANGES, "quantllm lock agencies/moh.yaml"): "sed -i 's/max: 2/max: 3/' agencies/moh.yaml",
    (CHANGES, "git revert <commit>"): "git commit --quiet --all --message 'An instance more'",
    ("docs/clients.md", "quantllm invoke default-smollm2-135m --body request.json --json"): (
        """echo '{"prompt": "The capital of France is", "max_tokens": 4}' > request.json"""
    ),
}
# What a reader looks for in what a command prints.
SAYS = {
    ("README.md", "quantllm agencies check agencies/moh.yaml"): r"agencies/moh\.yaml: ok",
    ("README.md", "quantllm lock agencies/moh.yaml"): r"agencies/moh\.lock\.json: written",
    ("README.md", "quantllm review --base origin/main"): r"1 stack-added(.|\n)* 538 more\.",
    ("README.md", "cdk deploy QuantLlmStack-moh"): r"EndpointName = moh-mistral-7b",
    ("README.md", CAPITAL): r"Paris",
    ("docs/embedded-aws.md", "quantllm local status"): r"moh-mistral-7b .* InService",
    ("docs/review.md", "quantllm review --deployed"): r"No infrastructure change",
    ("docs/troubleshooting.md", "quantllm preflight"): r" 0 to fix, 0 could not be checked",
}


def reason_not_to_run(command: Command) -> str | None:
    return next((reason for start, reason in NOT_RUN.items() if command.typed.startswith(start)), None)


def as_run(command: Command) -> str:
    line = filled(command.typed, VALUES)
    measures = line.startswith("quantllm bench ") and line.split()[2] not in ("compare", "report")
    return line + SHORT if measures else line


# No target, not one without a reason either: make would install into the environment that the tests run in.
RUN = [each for each in commands() if reason_not_to_run(each) is None and program(each.typed) != "make"]


def lines_of_the_shell() -> tuple[list[str], list[int]]:
    """What is typed, and of each command of RUN the line that is its own or says the same."""
    lines: list[str] = []
    places: list[int] = []
    for command in RUN:
        line = as_run(command)
        by_hand = BY_HAND.get((command.page, command.typed))
        changed = line.startswith("cdk deploy") and command.page == CHANGES
        if by_hand is None and line in lines and not changed:
            places.append(lines.index(line))
            continue
        places.append(len(lines))
        lines.append(f"{by_hand}\n{line}" if by_hand else line)
    return lines, places


@pytest.fixture(scope="module")
def results() -> Iterator[list[Result | None]]:
    """What became of each command of RUN."""
    lines, places = lines_of_the_shell()
    # A short name: the path of a Unix socket has room for about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="quantllm-") as scratch:
        checkout, notes = Path(scratch, "checkout"), Path(scratch, "notes")
        checkout.mkdir()
        notes.mkdir()
        copy_repository(checkout)
        try:
            found = run_in_one_shell(
                ["true" if line == LAST else line for line in lines], checkout, notes, timeout=SECONDS
            )
        finally:
            down = subprocess.run(
                [".venv/bin/quantllm", "local", "down"],
                cwd=checkout,
                env=reader_environment(checkout),
                capture_output=True,
                text=True,
                timeout=60,
            )
        found[lines.index(LAST)] = Result(down.returncode, down.stdout + down.stderr)
        yield [found[place] for place in places]


@pytest.mark.parametrize(
    "number", range(len(RUN)), ids=[f"{command.page}: {command.typed}" for command in RUN]
)
def test_a_command_of_the_documents_fails(number: int, results: list[Result | None]) -> None:
    result = results[number]
    assert result is not None, f"not ended within {SECONDS} s"
    assert result.status == 0, result.output
    command = RUN[number]
    assert re.search(SAYS.get((command.page, command.typed), ""), result.output), result.output


def test_what_is_not_run_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print()
        for command in commands():
            if reason := reason_not_to_run(command):
                print(f"not run: {command.page}: {command.typed}: {reason}")


def test_a_target_of_make_is_not_run_without_a_reason() -> None:
    without = [each for each in commands() if program(each.typed) == "make" and not reason_not_to_run(each)]
    assert without == []


@pytest.mark.parametrize("start", NOT_RUN)
def test_an_exception_is_stale(start: str) -> None:
    assert any(command.typed.startswith(start) for command in commands())


@pytest.mark.parametrize("example", VALUES)
def test_an_example_is_stale(example: str) -> None:
    assert any(example in command.typed for command in RUN)


@pytest.mark.parametrize(("page", "typed"), [*BY_HAND, *SAYS])
def test_what_is_done_or_said_around_a_command_is_stale(page: str, typed: str) -> None:
    assert Command(page, typed) in RUN
