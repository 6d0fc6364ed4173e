"""Every environment variable of the container, read once.

The constructs that deploy the container and the tests import the names from here. An engine's own options
(`LLAMA_ARG_*`) are not listed: they go to the engine under its own names, see `llamacpp`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quant_llm_serving.errors import ConfigurationError
from quant_llm_serving.routes import INVOCATION_ROUTES

MODEL = "MODEL"
N_GPU_LAYERS = "N_GPU_LAYERS"
INVOCATIONS_ROUTE = "INVOCATIONS_ROUTE"
ENDPOINT_NAME = "ENDPOINT_NAME"
SAGEMAKER_BIND_TO_PORT = "SAGEMAKER_BIND_TO_PORT"
SM_MODEL_DIR = "SM_MODEL_DIR"
SERVING_BIND_ADDRESS = "SERVING_BIND_ADDRESS"
SERVING_DRAIN_SECONDS = "SERVING_DRAIN_SECONDS"
SERVING_HEALTH_SECONDS = "SERVING_HEALTH_SECONDS"
SERVING_LORA = "SERVING_LORA"
SERVING_QUEUE_LENGTH = "SERVING_QUEUE_LENGTH"
SERVING_REQUEST_SECONDS = "SERVING_REQUEST_SECONDS"
SERVING_STALL_SECONDS = "SERVING_STALL_SECONDS"
SERVING_STREAM_SECONDS = "SERVING_STREAM_SECONDS"

OUR_PREFIX = "SERVING_"
"""Any other variable with this prefix is a misspelt one."""

VARIABLES: Mapping[str, str] = {
    MODEL: "file, glob or folder of the model: relative to the model directory, or absolute. "
    "Default: the one model that is there",
    N_GPU_LAYERS: "layers to keep on the GPU: a number (999 for all), `all` or `auto`. Default: `auto`",
    INVOCATIONS_ROUTE: f"what /invocations serves: {', '.join(INVOCATION_ROUTES)}. "
    "Default: told by the body's `messages`, `prompt` or `input`",
    ENDPOINT_NAME: "the endpoint's name. With it the log line of each request makes metrics of that name in "
    "CloudWatch. Default: none, and no metrics",
    SAGEMAKER_BIND_TO_PORT: "port to listen on. Default: 8080",
    SM_MODEL_DIR: "model directory. Default: /opt/ml/model",
    SERVING_BIND_ADDRESS: "address to listen on. Default: 0.0.0.0",
    SERVING_DRAIN_SECONDS: "how long running requests may go on after SIGTERM, in seconds. Default: 30",
    SERVING_HEALTH_SECONDS: "how long the engine may leave a health check unanswered, in seconds. Default: 5",
    SERVING_LORA: "LoRA adapters, separated by commas: files relative to the model directory, or absolute. "
    "`name=file` is applied to requests whose `model` is the name, a file alone to all. Default: none",
    SERVING_QUEUE_LENGTH: "how many requests may wait for a slot of the engine, more are answered 429. "
    "Default: 100",
    SERVING_REQUEST_SECONDS: "how long a request may take, waiting included, in seconds: SageMaker gives a "
    "real-time request 60, an asynchronous one up to 3600. Default: 60",
    SERVING_STALL_SECONDS: "how long the engine may take for one step of its work, in seconds: then the "
    "container ends, so that a new one takes its place. A piece of a prompt is one step. Default: 120",
    SERVING_STREAM_SECONDS: "the same for a streamed answer, to which SageMaker gives 8 minutes. "
    "Default: 480",
}
"""Each variable's meaning and default."""

_LIKELY = 0.8  # of difflib's ratio: a name that is probably meant for us
_CLOSEST = 0.6  # the same for a name that certainly is
_ADAPTER = re.compile(r"(?:([A-Za-z0-9][\w.-]*)=)?(.+)", re.ASCII)
_PLATFORM_PREFIXES = ("AWS_", "SAGEMAKER_", "SM_")  # SageMaker sets many of these, some much like ours


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What the variables say, checked. Times are in seconds; None is the default that `VARIABLES` tells.

    `lora` are the adapters' files; `adapters` their names in the same order, or nothing where they have none.
    """

    model: str | None
    gpu_layers: str | None
    invocations_route: str | None
    endpoint_name: str | None
    port: int
    model_directory: Path
    bind_address: str
    drain_seconds: float
    health_seconds: float
    lora: tuple[str, ...]
    adapters: tuple[str, ...]
    queue_length: int
    request_seconds: float
    stall_seconds: float
    stream_seconds: float


def read_environment(variables: Mapping[str, str]) -> Environment:
    """Read and check `variables`, in which an empty value counts as none.

    Raises ConfigurationError for a value that can't be, and for a name that is one of ours misspelt.
    """
    _refuse_misspelt(variables)
    return Environment(
        model=variables.get(MODEL) or None,
        gpu_layers=_gpu_layers(variables),
        invocations_route=_invocations_route(variables),
        endpoint_name=_endpoint_name(variables),
        port=_port(variables),
        model_directory=model_directory(variables),
        bind_address=variables.get(SERVING_BIND_ADDRESS) or "0.0.0.0",  # noqa: S104 - SageMaker calls from outside
        drain_seconds=_seconds(variables, SERVING_DRAIN_SECONDS, default=30),
        health_seconds=_seconds(variables, SERVING_HEALTH_SECONDS, default=5),
        lora=tuple(file for _, file in _lora(variables)),
        adapters=adapter_names(variables),
        queue_length=_queue_length(variables),
        request_seconds=_seconds(variables, SERVING_REQUEST_SECONDS, default=60),
        stall_seconds=_seconds(variables, SERVING_STALL_SECONDS, default=120),
        stream_seconds=_seconds(variables, SERVING_STREAM_SECONDS, default=480),
    )


def model_directory(variables: Mapping[str, str]) -> Path:
    """Where the model is."""
    return Path(variables.get(SM_MODEL_DIR) or "/opt/ml/model")


def adapter_names(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the LoRA adapters; nothing where they have none. Raises ConfigurationError."""
    names = [name for name, _ in _lora(variables)]
    named = tuple(name for name in names if name)
    if named and len(named) != len(names):
        raise ConfigurationError(f"{SERVING_LORA} must have a name for each file or for none")
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise ConfigurationError(f"{SERVING_LORA} has the name '{twice}' twice")
    return named


def nearest(name: str, known: Iterable[str], *, similarity: float = _CLOSEST) -> str:
    """`, did you mean X`, or nothing where no known name is like `name`."""
    names = sorted(known)
    matches = [known_name for known_name in names if known_name.startswith(f"{name}_")]
    matches += difflib.get_close_matches(name.upper(), names, n=1, cutoff=similarity)
    return f", did you mean {matches[0]}" if matches else ""


def _refuse_misspelt(variables: Mapping[str, str]) -> None:
    for name in sorted(variables):
        if name in VARIABLES:
            continue
        if name.startswith(OUR_PREFIX):
            expected = ", ".join(known for known in VARIABLES if known.startswith(OUR_PREFIX))
            raise ConfigurationError(
                f"unknown environment variable {name}{nearest(name, VARIABLES)}, expected one of {expected}"
            )
        if not name.startswith(_PLATFORM_PREFIXES):
            # A variable of somebody else's may well look like ours: one that we were given is not misspelt.
            wanted = [own for own in VARIABLES if own not in variables and abs(len(own) - len(name)) <= 1]
            if hint := nearest(name, wanted, similarity=_LIKELY):
                raise ConfigurationError(f"unknown environment variable {name}{hint}")


def _lora(variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """Name, empty where there is none, and file of each adapter."""
    entries = [entry.strip() for entry in variables.get(SERVING_LORA, "").split(",")]
    return [(found[1] or "", found[2]) for entry in entries if (found := _ADAPTER.fullmatch(entry))]


def _gpu_layers(variables: Mapping[str, str]) -> str | None:
    value = variables.get(N_GPU_LAYERS) or None
    if value is not None and not re.fullmatch(r"\d{1,6}|-1|all|auto", value, re.ASCII):
        raise ConfigurationError(f"{N_GPU_LAYERS} must be a number of layers, 'all' or 'auto', got '{value}'")
    return value


def _invocations_route(variables: Mapping[str, str]) -> str | None:
    value = variables.get(INVOCATIONS_ROUTE) or None
    if value is not None and value not in INVOCATION_ROUTES:
        raise ConfigurationError(
            f"{INVOCATIONS_ROUTE} must be one of {', '.join(INVOCATION_ROUTES)}, got '{value}'"
        )
    return value


def _endpoint_name(variables: Mapping[str, str]) -> str | None:
    value = variables.get(ENDPOINT_NAME) or None
    if value is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", value, re.ASCII):
        raise ConfigurationError(
            f"{ENDPOINT_NAME} must be 1 to 63 letters, digits and hyphens, got '{value}'"
        )
    return value


def _port(variables: Mapping[str, str]) -> int:
    value = variables.get(SAGEMAKER_BIND_TO_PORT) or "8080"
    if not re.fullmatch(r"\d{1,5}", value, re.ASCII) or not 1 <= int(value) <= 65535:
        raise ConfigurationError(f"{SAGEMAKER_BIND_TO_PORT} must be a port from 1 to 65535, got '{value}'")
    return int(value)


def _queue_length(variables: Mapping[str, str]) -> int:
    value = variables.get(SERVING_QUEUE_LENGTH) or "100"
    if not re.fullmatch(r"\d{1,5}", value, re.ASCII):
        raise ConfigurationError(
            f"{SERVING_QUEUE_LENGTH} must be a number of requests from 0 to 99999, got '{value}'"
        )
    return int(value)


def _seconds(variables: Mapping[str, str], name: str, *, default: float) -> float:
    value = variables.get(name)
    if not value:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 3600:  # false for NaN too
        raise ConfigurationError(f"{name} must be a number of seconds from 0 to 3600, got '{value}'")
    return seconds
