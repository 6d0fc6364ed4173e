"""Which backend loads a model, on which GPUs. Torch and the engines need GPUs: here others stand in."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from quant_llm_exllama.backends import load_backend
from quant_llm_serving.errors import ConfigurationError, EngineError
from quant_llm_serving.exllama_options import ExllamaOptions
from tests.integration.exllama.model_files import write_model

Gpus = Callable[..., None]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """Torch sees GPUs of these compute capabilities."""

    def see(*capabilities: tuple[int, int]) -> None:
        torch = ModuleType("torch")
        torch.cuda = SimpleNamespace(  # type: ignore[attr-defined] # a module made here
            is_available=lambda: bool(capabilities),
            device_count=lambda: len(capabilities),
            get_device_capability=lambda index: capabilities[index],
            get_device_name=lambda index: f"GPU {index}",
        )
        monkeypatch.setitem(sys.modules, "torch", torch)
        monkeypatch.delitem(sys.modules, "quant_llm_exllama.devices", raising=False)
        importlib.import_module("quant_llm_exllama.devices")

    return see


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[..., object]]:
    """What the two backends' classes do, by version; each says who it is."""
    found: dict[str, Callable[..., object]] = {}
    for version in ("2", "3"):
        found[version] = lambda directory, options, version=version: version
        module = ModuleType(f"quant_llm_exllama.exllamav{version}_backend")

        def make(directory: Path, options: ExllamaOptions, version: str = version) -> object:
            return found[version](directory, options)

        setattr(module, f"ExLlamaV{version}Backend", make)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return found


@pytest.mark.parametrize(("method", "version"), [("gptq", "2"), ("exl2", "2"), ("exl3", "3")])
@pytest.mark.usefixtures("engines")
def test_the_format_tells_the_backend(tmp_path: Path, gpus: Gpus, method: str, version: str) -> None:
    gpus((8, 6))
    loaded: object = load_backend(write_model(tmp_path / "m", method=method), ExllamaOptions())
    assert loaded == version


@pytest.mark.usefixtures("engines")
def test_a_model_that_is_not_quantised_is_exllamav2s(tmp_path: Path, gpus: Gpus) -> None:
    gpus((9, 0))
    loaded: object = load_backend(write_model(tmp_path / "m", quantization_config=None), ExllamaOptions())
    assert loaded == "2"


@pytest.mark.usefixtures("engines")
def test_a_gpu_that_is_too_old_is_told_in_a_sentence(tmp_path: Path, gpus: Gpus) -> None:
    gpus((8, 0), (7, 5))
    with pytest.raises(ConfigurationError) as caught:
        load_backend(write_model(tmp_path / "m"), ExllamaOptions())
    assert str(caught.value).startswith("the GPU GPU 1 has compute capability 7.5, and ExLlama needs 8.0")


@pytest.mark.usefixtures("engines")
def test_no_gpu_is_told(tmp_path: Path, gpus: Gpus) -> None:
    gpus()
    with pytest.raises(EngineError, match="no NVIDIA GPU"):
        load_backend(write_model(tmp_path / "m"), ExllamaOptions())


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA out of memory. Tried to allocate"), AssertionError("Insufficient space in device")],
)
def test_too_little_memory_says_what_to_lower(
    tmp_path: Path, gpus: Gpus, engines: dict[str, Callable[..., object]], error: Exception
) -> None:
    gpus((8, 9))
    engines["2"] = lambda directory, options: _raise(error)
    with pytest.raises(EngineError, match=r"EXLLAMA_CONTEXT_LENGTH.*\(.*" + str(error).split()[-1]):
        load_backend(write_model(tmp_path / "m"), ExllamaOptions())


def test_any_other_failure_stays_what_it_is(
    tmp_path: Path, gpus: Gpus, engines: dict[str, Callable[..., object]]
) -> None:
    gpus((8, 9))
    engines["2"] = lambda directory, options: _raise(RuntimeError("undefined symbol"))
    with pytest.raises(RuntimeError, match="undefined symbol"):
        load_backend(write_model(tmp_path / "m"), ExllamaOptions())


def _raise(error: Exception) -> object:
    raise error
