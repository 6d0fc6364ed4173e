"""A repository in memory, and the headers that go into one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from quant_llm.agency import AgencyConfig, ModelConfig, QuantiseConfig
from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.gguf import GgufArray, GgufHeader, GgufTensor, GgufValue
from quant_llm_tools.lock.gguf_types import TENSOR_TYPES
from quant_llm_tools.lock.selection import HubFile

COMMIT = "c0ffee" + "0" * 34
LFS = (".gguf", ".safetensors")


class FakeRepository:
    """Files by path, those of LFS with a sha256, the others with git's SHA-1; counts the bytes read."""

    def __init__(self, files: Mapping[str, bytes], commit: str = COMMIT) -> None:
        self.contents = dict(files)
        self.commit = commit
        self.bytes_read: dict[str, int] = {}

    def __enter__(self) -> FakeRepository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def resolve(self) -> str:
        return self.commit

    def files(self, commit: str) -> list[HubFile]:
        assert commit == self.commit
        return [self.file(path) for path in self.contents]

    def file(self, path: str) -> HubFile:
        content = self.contents[path]
        blob = hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
        sha256 = hashlib.sha256(content).hexdigest() if path.endswith(LFS) else None
        return HubFile(path, len(content), blob, sha256)

    def read(self, commit: str, file: HubFile, start: int, end: int) -> bytes:
        assert commit == self.commit
        assert 0 <= start < end <= file.size
        self.bytes_read[file.path] = self.bytes_read.get(file.path, 0) + end - start
        return self.contents[file.path][start:end]


class FakeHub:
    """Opens repositories by name, as `lock_agencies` asks for them."""

    def __init__(self, repositories: Mapping[str, FakeRepository]) -> None:
        self.repositories = dict(repositories)
        self.opened: list[str] = []

    def __call__(
        self, agency: AgencyConfig, model: ModelConfig | QuantiseConfig, notice: Callable[[str], None]
    ) -> FakeRepository:
        self.opened.append(model.source.hub)
        if model.source.hub not in self.repositories:
            raise QuantLlmError(f"there is no {model.source.hub!r}")
        return self.repositories[model.source.hub]


def gguf_header(
    changed: Mapping[str, GgufValue | None] | None = None, *, tensors: int = 1, kind: int = 8
) -> GgufHeader:
    """A small llama; keys with None are left out."""
    metadata: dict[str, GgufValue | None] = {
        "general.architecture": "llama",
        "general.file_type": 7,
        "llama.block_count": 2,
        "llama.context_length": 512,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "tokenizer.ggml.tokens": GgufArray(300, None),
        **(changed or {}),
    }
    return GgufHeader(
        3,
        {key: value for key, value in metadata.items() if value is not None},
        tuple(
            GgufTensor(f"blk.{number}.weight", (64, 100), TENSOR_TYPES[kind], 0) for number in range(tensors)
        ),
    )


def safetensors_file(tensors: Mapping[str, tuple[int, ...]]) -> bytes:
    """BF16 tensors of zeros."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in tensors.items():
        size = 2
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    data = json.dumps(header).encode()
    return len(data).to_bytes(8, "little") + data + bytes(end)


CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 512,
}
