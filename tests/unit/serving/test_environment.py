"""Environment variables: defaults, values, and names that are nearly ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_llm_serving import environment
from quant_llm_serving.environment import Environment, read_environment
from quant_llm_serving.errors import ConfigurationError


def test_the_defaults_are_sagemakers() -> None:
    assert read_environment({}) == Environment(
        model=None,
        gpu_layers=None,
        invocations_route=None,
        endpoint_name=None,
        port=8080,
        model_directory=Path("/opt/ml/model"),
        bind_address="0.0.0.0",  # noqa: S104 - the default under test
        drain_seconds=30,
        health_seconds=5,
        lora=(),
        adapters=(),
        queue_length=100,
        request_seconds=60,
        stall_seconds=120,
        stream_seconds=480,
    )


def test_an_empty_value_is_none() -> None:
    assert read_environment(dict.fromkeys(environment.VARIABLES, "")) == read_environment({})


def test_every_variable_is_read() -> None:
    read = read_environment(
        {
            "MODEL": "*Q4.gguf",
            "N_GPU_LAYERS": "999",
            "INVOCATIONS_ROUTE": "/v1/completions",
            "ENDPOINT_NAME": "moh-mistral-7b",
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "SM_MODEL_DIR": "/models",
            "SERVING_BIND_ADDRESS": "127.0.0.1",
            "SERVING_DRAIN_SECONDS": "10",
            "SERVING_HEALTH_SECONDS": "2.5",
            "SERVING_LORA": "a.gguf, adapters/b.gguf,",
            "SERVING_QUEUE_LENGTH": "0",
            "SERVING_REQUEST_SECONDS": "3600",
            "SERVING_STALL_SECONDS": "600",
            "SERVING_STREAM_SECONDS": "900",
        }
    )
    assert read == Environment(
        model="*Q4.gguf",
        gpu_layers="999",
        invocations_route="/v1/completions",
        endpoint_name="moh-mistral-7b",
        port=9000,
        model_directory=Path("/models"),
        bind_address="127.0.0.1",
        drain_seconds=10,
        health_seconds=2.5,
        lora=("a.gguf", "adapters/b.gguf"),
        adapters=(),
        queue_length=0,
        request_seconds=3600,
        stall_seconds=600,
        stream_seconds=900,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("N_GPU_LAYERS", "-2"),
        ("N_GPU_LAYERS", "9.5"),
        ("N_GPU_LAYERS", "٣"),
        ("INVOCATIONS_ROUTE", "/v1/models"),
        ("ENDPOINT_NAME", "moh/mistral"),
        ("ENDPOINT_NAME", "m" * 64),
        ("SAGEMAKER_BIND_TO_PORT", "0"),
        ("SAGEMAKER_BIND_TO_PORT", "65536"),
        ("SAGEMAKER_BIND_TO_PORT", "http"),
        ("SERVING_DRAIN_SECONDS", "0"),
        ("SERVING_DRAIN_SECONDS", "nan"),
        ("SERVING_DRAIN_SECONDS", "30s"),
        ("SERVING_HEALTH_SECONDS", "3601"),
        ("SERVING_QUEUE_LENGTH", "-1"),
        ("SERVING_QUEUE_LENGTH", "many"),
        ("SERVING_REQUEST_SECONDS", "inf"),
        ("SERVING_STREAM_SECONDS", "0"),
        ("SERVING_STALL_SECONDS", "0"),
    ],
)
def test_a_value_that_can_not_be_is_refused_with_its_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be .*, got '{value}'$"):
        read_environment({name: value})


@pytest.mark.parametrize("value", ["0", "-1", "999", "all", "auto"])
def test_gpu_layers_take_what_llama_server_takes(value: str) -> None:
    assert read_environment({"N_GPU_LAYERS": value}).gpu_layers == value


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MODLE", "MODEL"),
        ("model", "MODEL"),
        ("MODELS", "MODEL"),
        ("N_GPU_LAYER", "N_GPU_LAYERS"),
        ("NGPU_LAYERS", "N_GPU_LAYERS"),
        ("INVOCATION_ROUTE", "INVOCATIONS_ROUTE"),
        ("SERVING_DRAINSECONDS", "SERVING_DRAIN_SECONDS"),
        ("SERVING_DRAIN", "SERVING_DRAIN_SECONDS"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_right_one(name: str, meant: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"^unknown environment variable {name}, did you mean {meant}"
    ):
        read_environment({name: "x"})


def test_an_unknown_name_with_our_prefix_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"SERVING_X.*, expected one of SERVING_BIND_ADDRESS, "):
        read_environment({"SERVING_X": "x"})


@pytest.mark.parametrize("name", ["SM_MODULE_DIR", "SAGEMAKER_BIND_TO_PORTS", "AWS_MODEL", "HOME", "PATH"])
def test_the_platforms_own_names_are_let_be(name: str) -> None:
    read_environment({name: "x"})


def test_a_name_like_one_that_was_given_is_let_be() -> None:
    assert read_environment({"MODEL": "a.gguf", "MODELS": "x", "MODE": "x"}).model == "a.gguf"


def test_adapters_have_names_all_or_none() -> None:
    named = read_environment({"SERVING_LORA": "law=adapters/law=new.gguf, tax-2=b.gguf"})
    assert (named.lora, named.adapters) == (("adapters/law=new.gguf", "b.gguf"), ("law", "tax-2"))
    with pytest.raises(ConfigurationError, match=r"^SERVING_LORA must have a name for each file or for none"):
        read_environment({"SERVING_LORA": "law=a.gguf,b.gguf"})
    with pytest.raises(ConfigurationError, match=r"^SERVING_LORA has the name 'law' twice"):
        read_environment({"SERVING_LORA": "law=a.gguf,law=b.gguf"})
