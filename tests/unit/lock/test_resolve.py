"""One model from its source to its lock, against a repository in memory."""

from __future__ import annotations

import hashlib
import json

import gguf
import numpy
import pytest

from quant_llm.agency import ModelConfig
from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.resolve import lock_model
from quant_llm_tools.lock.selection import HubFile
from tests.unit.lock.fakes import COMMIT, CONFIG, FakeRepository, safetensors_file


def model(engine: str = "vllm", *files: str) -> ModelConfig:
    source = {"hub": "owner/name", **({"files": files} if files else {})}
    return ModelConfig.model_validate(
        {
            "name": "m",
            "source": source,
            "engine": engine,
            "instance_type": "ml.g5.xlarge",
            "context_length": 512,
            "concurrency": 1,
        }
    )


def quiet(_line: str) -> None:
    return


@pytest.fixture
def repository() -> FakeRepository:
    return FakeRepository(
        {
            "model-00001-of-00002.safetensors": safetensors_file({"a": (64, 1000)}),
            "model-00002-of-00002.safetensors": safetensors_file({"b": (64, 10)}),
            "config.json": json.dumps(CONFIG).encode(),
            "tokenizer.json": b"{}",
            "merges.txt": b"",
            "README.md": b"# model",
        }
    )


def test_lock_has_commit_files_hashes_and_shape(repository: FakeRepository) -> None:
    lock = lock_model(model(), repository, quiet)
    assert lock.commit == COMMIT
    assert lock.source.model_dump() == {"hub": "owner/name", "revision": "main", "files": []}
    assert [(file.path, file.size, file.sha256) for file in lock.files] == [
        (path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in sorted(repository.contents.items())
        if path != "README.md"
    ]
    assert (lock.shape.parameters, lock.shape.quantization) == (64 * 1010, "BF16")
    weight_bytes = sum(file.size for file in lock.files if file.path.endswith(".safetensors"))
    assert lock.shape.bits_per_weight == round(weight_bytes * 8 / (64 * 1010), 4)


def test_weights_are_not_read_and_small_files_once(repository: FakeRepository) -> None:
    lock_model(model(), repository, quiet)
    assert repository.bytes_read["model-00001-of-00002.safetensors"] < 200
    assert repository.bytes_read["config.json"] == len(repository.contents["config.json"])
    assert "merges.txt" not in repository.bytes_read  # empty
    assert "README.md" not in repository.bytes_read


def test_gguf_is_locked_by_its_header(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_head_count(4)
    writer.add_vocab_size(300)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tensor("token_embd.weight", numpy.zeros((300, 64), dtype=numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    lock = lock_model(model("llama.cpp"), FakeRepository({"m.gguf": path.read_bytes()}), quiet)
    assert lock.shape.model_dump(include={"format", "quantization", "parameters", "key_value_heads"}) == {
        "format": "gguf",
        "quantization": "F16",
        "parameters": 300 * 64,
        "key_value_heads": 4,
    }


def test_progress_tells_each_step(repository: FakeRepository) -> None:
    lines: list[str] = []
    lock_model(model(), repository, lines.append)
    assert lines[:3] == [
        "asking for owner/name at main",
        "commit c0ffee000000: 5 files of 6, 129.6 kB",
        "downloading config.json (169 bytes)",
    ]
    assert lines[-1].startswith("read ")


class Tampered(FakeRepository):
    """Serves other bytes than it lists."""

    def read(self, commit: str, file: HubFile, start: int, end: int) -> bytes:
        data = super().read(commit, file, start, end)
        return data.replace(b"llama", b"LLAMA")


def test_small_file_with_other_bytes_than_listed_is_refused(repository: FakeRepository) -> None:
    with pytest.raises(QuantLlmError, match=r"config.json: the bytes have the hash .*, the hub lists"):
        lock_model(model(), Tampered(repository.contents), quiet)


class LargeConfig(FakeRepository):
    """Has config.json in LFS, or too large for a small file."""

    def __init__(self, repository: FakeRepository, size: int | None, sha256: str | None) -> None:
        super().__init__(repository.contents)
        self.size, self.sha256 = size, sha256

    def file(self, path: str) -> HubFile:
        file = super().file(path)
        if path != "config.json":
            return file
        return HubFile(path, self.size or file.size, file.blob_id, self.sha256)


def test_large_file_without_sha256_is_refused_before_it_is_read(repository: FakeRepository) -> None:
    large = LargeConfig(repository, 32 * 2**20 + 1, None)
    with pytest.raises(QuantLlmError, match=r"config.json: has 33.6 MB and no sha256 .* leave it out"):
        lock_model(model(), large, quiet)
    assert "config.json" not in large.bytes_read


def test_config_in_lfs_is_checked_by_its_sha256(repository: FakeRepository) -> None:
    sha256 = hashlib.sha256(repository.contents["config.json"]).hexdigest()
    assert lock_model(model(), LargeConfig(repository, None, sha256), quiet).shape.layers == 2
    with pytest.raises(QuantLlmError, match=f"the hub lists {'0' * 64}"):
        lock_model(model(), LargeConfig(repository, None, "0" * 64), quiet)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("config.json", b"<html>", "config.json is not JSON"),
        ("config.json", b"[]", "config.json is not a JSON object"),
        (
            "model-00002-of-00002.safetensors",
            b"PK" * 50,
            "model-00002-of-00002.safetensors: not a safetensors",
        ),
        ("model-00002-of-00002.safetensors", b"", "it has 0 bytes"),
    ],
)
def test_damaged_file_is_named(repository: FakeRepository, path: str, content: bytes, message: str) -> None:
    repository.contents[path] = content
    with pytest.raises(QuantLlmError, match=message):
        lock_model(model(), repository, quiet)
