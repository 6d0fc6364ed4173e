"""In a container without a GPU this lies over `quant_llm_exllama.backends`: the FAKE backend."""

from tests.integration.exllama.fake_backend import FakeBackend as load_backend

__all__ = ["load_backend"]
