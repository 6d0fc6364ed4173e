"""Every Python block of docs/clients.md and of the README does what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_llm.paths import ROOT
from tests.integration.clients.code_blocks import CodeBlock, python_blocks
from tests.integration.clients.endpoint import ENDPOINT, ServedExamples, serving_examples

CLIENTS = ROOT / "docs" / "clients.md"
README = ROOT / "README.md"
CHAT_ANSWER = "The capital of France is Paris."
COMPLETION = " Paris."

# By the heading on docs/clients.md: the environment that it runs in, and what each of its blocks prints.
# `make clients` installs the environments other than the tests' own.
OWN = "own"
COLD_START = "boto3-a-cold-start"
EXPECTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "boto3-the-whole-answer": (OWN, (f"{CHAT_ANSWER}\n8 tokens\n",)),
    "boto3-a-stream": (OWN, (CHAT_ANSWER,)),
    "boto3-errors": (OWN, ("400 messages\n'messages' must be a list",)),
    COLD_START: (OWN, (COMPLETION,)),
    "the-openai-client": ("clients", (f"{CHAT_ANSWER}\n{CHAT_ANSWER}", COMPLETION)),
    "sagemaker-sdk-3-a-predictor": ("clients", (COMPLETION,)),
    "sagemaker-sdk-3-a-model-of-your-own": ("clients", (COMPLETION,)),
    "sagemaker-sdk-2-a-model-of-your-own": ("clients-sagemaker-2", (COMPLETION,)),
}
BLOCKS = python_blocks(CLIENTS)
NEXT_BLOCK = "\n--- next block\n"

# The page makes tokens without the SageMaker SDK. Each has the second in which it was signed.
SAME_TOKEN = """
from datetime import timedelta
from sagemaker.core.token_generator import generate_token
print(any(bearer_token() == generate_token(expiry=timedelta(hours=1)) for _ in range(5)))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedExamples]:
    with serving_examples(tmp_path_factory.mktemp("clients")) as examples:
        yield examples


def interpreter(environment: str) -> Path:
    """The Python that has what the examples import."""
    if environment == OWN:
        return Path(sys.executable)
    python = Path(sys.prefix) / environment / "bin" / "python"
    if not python.exists():
        reason = f"{python} is not there: `make clients` installs the clients of docs/clients.md"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI skips no test")
        pytest.skip(reason)
    return python


def blocks_under(heading: str) -> list[CodeBlock]:
    return [block for block in BLOCKS if block.name == heading]


def printed(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_python_block_of_the_page_is_run() -> None:
    counts = {heading: len(outputs) for heading, (_, outputs) in EXPECTED.items()}
    assert {heading: len(blocks_under(heading)) for heading in {block.name for block in BLOCKS}} == counts


@pytest.mark.parametrize("environment", sorted({environment for environment, _ in EXPECTED.values()}))
def test_examples_print_the_models_answer(served: ServedExamples, environment: str) -> None:
    """All that have the same environment in one process: the SDK takes seconds to import."""
    python = interpreter(environment)
    codes: list[str] = []
    outputs: list[str] = []
    for heading, (needs, prints) in EXPECTED.items():
        if needs == environment and heading != COLD_START:
            codes += [block.code for block in blocks_under(heading)]
            outputs += prints
    if environment == "clients":
        codes.append(SAME_TOKEN)
        outputs.append("True\n")
    code = f"\nprint({NEXT_BLOCK!r})\n".join(codes)
    code = code.replace("localhost:8080", f"127.0.0.1:{served.container_port}")
    result = printed(served.run(code, python=python)).split(NEXT_BLOCK)
    for expected, output in zip(outputs, result, strict=True):
        assert expected in output


def test_cold_start_is_waited_out_and_no_other_error_is(served: ServedExamples) -> None:
    (block,) = blocks_under(COLD_START)
    code = block.code.replace("pause_s: float = 15", "pause_s: float = 0.2")
    assert code != block.code
    with served.sleeping_endpoint("default-night") as wake, served.start(code) as example:
        with pytest.raises(subprocess.TimeoutExpired):
            example.wait(2)
        wake()
        output, errors = example.communicate(timeout=60)
    assert (example.returncode, output) == (0, f"{COMPLETION}\n\nThe United States has\n"), errors

    nobody = served.run(code.replace("default-night", "nobody"))
    assert nobody.returncode == 1
    assert "Endpoint nobody of account" in nobody.stderr


def test_readme_calls_an_endpoint(served: ServedExamples) -> None:
    blocks = [block for block in python_blocks(README) if ENDPOINT in block.code]
    assert blocks
    for block in blocks:
        python = interpreter("clients" if "openai" in block.code else OWN)
        assert "Paris" in printed(served.run(block.code, python=python))
