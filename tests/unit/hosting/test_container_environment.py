"""Who wins when the image, the Model and the platform set the same variable."""

from __future__ import annotations

from pathlib import Path

from quant_llm_tools.local_aws.hosting_errors import DeploymentFailed
from quant_llm_tools.local_aws.hosting_variant import container_environment


def environment(image: dict[str, str], model: dict[str, str]) -> dict[str, str]:
    return container_environment(
        image=image,
        model=model,
        directory=Path("/state/one"),
        scratch=Path("/short"),
        packages=[Path("/context/exllamav2"), Path("/context/sagemaker")],
        programs=Path("/state/bin"),
        region="ap-southeast-1",
        port=4711,
    )


def test_model_wins_over_image_and_platform_over_both() -> None:
    seen = environment(
        {"A": "image", "B": "image", "PATH": "/image/bin"}, {"B": "model", "SAGEMAKER_BIND_TO_PORT": "1"}
    )
    assert seen["A"] == "image"
    assert seen["B"] == "model"
    assert seen["SAGEMAKER_BIND_TO_PORT"] == "4711"
    assert seen["SERVING_BIND_ADDRESS"] == "127.0.0.1"
    assert seen["PATH"].startswith("/state/bin:")
    assert "/image/bin" not in seen["PATH"]


def test_one_thread_unless_the_model_asks_for_more() -> None:
    assert environment({}, {})["LLAMA_ARG_THREADS"] == "1"
    assert environment({}, {"LLAMA_ARG_THREADS": "8"})["LLAMA_ARG_THREADS"] == "8"


def test_model_and_scratch_folders_are_the_instances_own() -> None:
    seen = environment({}, {})
    assert seen["SM_MODEL_DIR"] == "/state/one/model"
    assert (seen["HOME"], seen["TMPDIR"]) == ("/state/one/home", "/short")
    assert seen["AWS_REGION"] == "ap-southeast-1"


def test_path_in_the_containers_model_directory_leads_to_the_instances_own() -> None:
    seen = environment({}, {"MODEL": "/opt/ml/model/a.gguf", "OTHER": "/opt/ml/models/b"})
    assert (seen["MODEL"], seen["OTHER"]) == ("/state/one/model/a.gguf", "/opt/ml/models/b")


def test_reason_is_no_longer_than_sagemakers() -> None:
    assert len(str(DeploymentFailed("x" * 5000))) == 1024
