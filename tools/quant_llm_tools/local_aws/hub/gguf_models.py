"""GGUF files of whole models: llama.cpp's tensor names, its choice of types, its shards."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from enum import Enum

from quant_llm_tools.local_aws.hub import gguf
from quant_llm_tools.local_aws.hub.architectures import Architecture
from quant_llm_tools.local_aws.hub.content import GeneratedContent
from quant_llm_tools.local_aws.hub.gguf import GgmlType, Tensor, Value

# Qwen's own repositories are cut with `--split-max-size 4G`, and gguf-split's G is 1000^3.
SHARD_BYTES = 4_000_000_000

_CHAT_TEMPLATE = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}{% endfor %}"


class Quantization(Enum):
    """A file type of llama.cpp: its number, then the types of most weights, sensitive ones, the output.

    Source: `llama_tensor_get_type` in llama.cpp.
    """

    Q4_0 = (2, GgmlType.Q4_0, GgmlType.Q4_0, GgmlType.Q6_K)
    Q8_0 = (7, GgmlType.Q8_0, GgmlType.Q8_0, GgmlType.Q8_0)
    Q4_K_M = (15, GgmlType.Q4_K, GgmlType.Q6_K, GgmlType.Q6_K)
    Q5_K_M = (17, GgmlType.Q5_K, GgmlType.Q6_K, GgmlType.Q6_K)
    Q6_K = (18, GgmlType.Q6_K, GgmlType.Q6_K, GgmlType.Q6_K)

    def __init__(self, file_type: int, usual: GgmlType, sensitive: GgmlType, output: GgmlType) -> None:
        self.file_type = file_type
        self.usual = usual
        self.sensitive = sensitive
        self.output = output


def whole(architecture: Architecture, quantization: Quantization) -> GeneratedContent:
    """The model as one file."""
    return _content(
        functools.partial(_metadata, architecture, quantization),
        list(_tensors(architecture, quantization)),
        seed=f"{architecture.name} {quantization.name}",
    )


def shards(
    architecture: Architecture, quantization: Quantization, shard_bytes: int = SHARD_BYTES
) -> list[GeneratedContent]:
    """The model as gguf-split cuts it: only the first shard has the metadata, all have the `split.` keys."""
    tensors = list(_tensors(architecture, quantization))
    cuts: list[list[Tensor]] = [[]]
    for tensor in tensors:
        if sum(other.size for other in cuts[-1]) + tensor.size > shard_bytes:
            cuts.append([])
        cuts[-1].append(tensor)

    def metadata(number: int) -> dict[str, Value]:
        model = _metadata(architecture, quantization) if number == 0 else {}
        return model | {
            "split.no": gguf.Uint16(number),
            "split.count": gguf.Uint16(len(cuts)),
            "split.tensors.count": gguf.Int32(len(tensors)),
        }

    return [
        _content(
            functools.partial(metadata, number), cut, seed=f"{architecture.name} {quantization.name} {number}"
        )
        for number, cut in enumerate(cuts)
    ]


def _content(
    metadata: functools.partial[dict[str, Value]], tensors: Sequence[Tensor], seed: str
) -> GeneratedContent:
    return GeneratedContent(
        make_header=lambda: gguf.header(metadata(), tensors),
        body_bytes=sum(tensor.size for tensor in tensors),
        seed=zlib.crc32(seed.encode()),
    )


def _tensors(architecture: Architecture, quantization: Quantization) -> Iterator[Tensor]:
    """In the order that llama.cpp's converter writes them."""
    hidden, feed_forward = architecture.hidden, architecture.feed_forward
    key_value, vocabulary = architecture.key_value_size, architecture.vocabulary.size
    usual = quantization.usual
    yield Tensor("token_embd.weight", (hidden, vocabulary), usual)
    for layer in range(architecture.layers):
        prefix = f"blk.{layer}"
        precise = quantization.sensitive if _is_sensitive(layer, architecture.layers) else usual
        yield Tensor(f"{prefix}.attn_norm.weight", (hidden,), GgmlType.F32)
        yield Tensor(f"{prefix}.ffn_down.weight", (feed_forward, hidden), precise)
        yield Tensor(f"{prefix}.ffn_gate.weight", (hidden, feed_forward), usual)
        yield Tensor(f"{prefix}.ffn_up.weight", (hidden, feed_forward), usual)
        yield Tensor(f"{prefix}.ffn_norm.weight", (hidden,), GgmlType.F32)
        for name, shape, kind in (
            ("attn_k", (hidden, key_value), usual),
            ("attn_output", (hidden, hidden), usual),
            ("attn_q", (hidden, hidden), usual),
            ("attn_v", (hidden, key_value), precise),
        ):
            if architecture.attention_bias and name != "attn_output":
                yield Tensor(f"{prefix}.{name}.bias", shape[1:], GgmlType.F32)
            yield Tensor(f"{prefix}.{name}.weight", shape, kind)
    yield Tensor("output_norm.weight", (hidden,), GgmlType.F32)
    yield Tensor("output.weight", (hidden, vocabulary), quantization.output)


def _is_sensitive(layer: int, layers: int) -> bool:
    """llama.cpp's `use_more_bits`: the first and the last eighth, and every third layer between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _metadata(architecture: Architecture, quantization: Quantization) -> dict[str, Value]:
    name = architecture.gguf_name
    metadata: dict[str, Value] = {
        "general.architecture": name,
        "general.name": architecture.name,
        f"{name}.context_length": architecture.context,
        f"{name}.embedding_length": architecture.hidden,
        f"{name}.block_count": architecture.layers,
        f"{name}.feed_forward_length": architecture.feed_forward,
        f"{name}.rope.dimension_count": architecture.head_size,
        f"{name}.attention.head_count": architecture.heads,
        f"{name}.attention.head_count_kv": architecture.key_value_heads,
        f"{name}.attention.layer_norm_rms_epsilon": architecture.norm_epsilon,
        f"{name}.rope.freq_base": architecture.rope_theta,
        "general.file_type": quantization.file_type,
        "tokenizer.chat_template": _CHAT_TEMPLATE,
        "general.quantization_version": 2,
    }
    return metadata | _tokenizer(architecture)


def _tokenizer(architecture: Architecture) -> dict[str, Value]:
    vocabulary = architecture.vocabulary
    tokenizer: dict[str, Value] = {
        "tokenizer.ggml.model": vocabulary.model,
        "tokenizer.ggml.tokens": vocabulary.pieces(),
        "tokenizer.ggml.token_type": [1] * vocabulary.size,
        "tokenizer.ggml.bos_token_id": architecture.bos_token,
        "tokenizer.ggml.eos_token_id": architecture.eos_token,
        "tokenizer.ggml.add_bos_token": vocabulary.model == "llama",
    }
    if vocabulary.merges:
        return tokenizer | {
            "tokenizer.ggml.pre": architecture.gguf_name,
            "tokenizer.ggml.merges": vocabulary.merge_rules(),
        }
    return tokenizer | {"tokenizer.ggml.scores": [0.0] * vocabulary.size}
