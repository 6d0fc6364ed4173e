"""Models of random weights in the shapes of well-known ones: for memory and speed, nothing else matters.

All formats get the same vocabulary, in which each byte of a text is a token: so a prompt of n ASCII letters
has n tokens. The matrices of a file all begin with the same random bytes, so that 36 GB are written as fast
as the disk takes them; an engine copies and reads each matrix on its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as GgmlType
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from benchmarks.gpu.safetensors_file import Tensors, write_safetensors

GROUP_SIZE = 128
EXL2_BITS = 4
EXL2_HEAD_BITS = 6  # the converter's default
_SPREAD = 0.002
"""Of a weight. All matrices have the same codes, whose mean is not 0: with 0.02 the layers' outputs add up to
more than FP16 holds (65,504) after 17 layers of the 7B shape. With this it is 137 after all 32, and
1,468 after the 48 of the 34B shape.
"""

_SEED = 1
_GPTQ = {
    "quant_method": "gptq",
    "bits": 4,
    "group_size": GROUP_SIZE,
    "desc_act": False,
    "sym": True,
    "checkpoint_format": "gptq",
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A Llama's shape. The sizes are numbers of elements."""

    name: str
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int
    context_length: int

    @property
    def head_size(self) -> int:
        """Of a head's query, key or value."""
        return self.hidden // self.heads

    @property
    def embedding(self) -> int:
        """Elements of the input embedding; the head has as many."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Elements of all matrices, input embedding and head."""
        layers = sum(inputs * outputs for _, _, inputs, outputs in self.matrices())
        return layers + 2 * self.embedding

    def matrices(self) -> Iterator[tuple[str, str, int, int]]:
        """GGUF's and Hugging Face's name, inputs and outputs of each matrix that a quantisation rounds."""
        kv = self.kv_heads * self.head_size
        for layer in range(self.layers):
            for ours, theirs, inputs, outputs in (
                ("attn_q", "self_attn.q_proj", self.hidden, self.hidden),
                ("attn_k", "self_attn.k_proj", self.hidden, kv),
                ("attn_v", "self_attn.v_proj", self.hidden, kv),
                ("attn_output", "self_attn.o_proj", self.hidden, self.hidden),
                ("ffn_gate", "mlp.gate_proj", self.hidden, self.feed_forward),
                ("ffn_up", "mlp.up_proj", self.hidden, self.feed_forward),
                ("ffn_down", "mlp.down_proj", self.feed_forward, self.hidden),
            ):
                yield f"blk.{layer}.{ours}", f"model.layers.{layer}.{theirs}", inputs, outputs


SHAPES = {
    shape.name: shape
    for shape in (
        Shape(
            name="TinyLlama-1.1B",
            layers=22,
            hidden=2048,
            feed_forward=5632,
            heads=32,
            kv_heads=4,
            vocabulary=32000,
            context_length=32768,
        ),
        Shape(
            name="CodeLlama-7B",
            layers=32,
            hidden=4096,
            feed_forward=11008,
            heads=32,
            kv_heads=32,
            vocabulary=32016,
            context_length=32768,
        ),
        Shape(
            name="CodeLlama-13B",
            layers=40,
            hidden=5120,
            feed_forward=13824,
            heads=40,
            kv_heads=40,
            vocabulary=32016,
            context_length=16384,
        ),
        Shape(
            name="CodeLlama-34B",
            layers=48,
            hidden=8192,
            feed_forward=22016,
            heads=64,
            kv_heads=8,
            vocabulary=32000,
            context_length=16384,
        ),
        Shape(
            name="Llama-3.1-8B",
            layers=32,
            hidden=4096,
            feed_forward=14336,
            heads=32,
            kv_heads=8,
            vocabulary=128256,
            context_length=32768,
        ),
    )
}


def vocabulary(size: int) -> list[str]:
    """The end of text, the 256 bytes as byte-level tokenizers write them, and as many more as it takes."""
    first = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    return [*first, *(f"<t{number}>" for number in range(size - len(first)))]


def write_gguf(shape: Shape, file: Path, kind: GgmlType) -> None:
    """A GGUF file of `shape`, its embeddings too quantised as `kind`."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name(shape.name)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_vocab_size(shape.vocabulary)
    tokens = vocabulary(shape.vocabulary)
    types = [gguf.TokenType.CONTROL, *[gguf.TokenType.NORMAL] * (len(tokens) - 1)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["<t0> <t1>"])  # llama.cpp wants one; no text has these
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    ones = np.ones(shape.hidden, np.float32)
    for layer in range(shape.layers):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", ones)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", ones)
    writer.add_tensor("output_norm.weight", ones)
    matrices = [(name, inputs, outputs) for name, _, inputs, outputs in shape.matrices()]
    tables = [(name, shape.hidden, shape.vocabulary) for name in ("token_embd", "output")]
    blocks = _blocks(max(inputs * outputs for _, inputs, outputs in (*tables, *matrices)), kind)
    size, width = gguf.GGML_QUANT_SIZES[kind]
    for name, inputs, outputs in (*tables, *matrices):
        rows = blocks[: inputs * outputs // size * width].reshape(outputs, -1)
        writer.add_tensor(f"{name}.weight", rows, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _blocks(weights: int, kind: GgmlType) -> np.ndarray:
    """The bytes of `weights` random codes, in blocks after an FP16 scale each, as Q4_0 and Q8_0 have them."""
    size, width = gguf.GGML_QUANT_SIZES[kind]
    codes = {GgmlType.Q4_0: 8, GgmlType.Q8_0: 127}[kind]
    blocks = _random_bytes(weights // size * width).reshape(-1, width)
    scale = np.frombuffer(np.float16(2 * _SPREAD / codes).tobytes(), np.uint8)
    blocks[:, : len(scale)] = scale
    return blocks.reshape(-1)


def _random_bytes(count: int) -> np.ndarray:
    return np.random.default_rng(_SEED).integers(0, 256, count, np.uint8)


def write_gptq(shape: Shape, directory: Path) -> None:
    """A Hugging Face directory of `shape` in 4-bit GPTQ; embeddings, head and norms are FP16."""
    tensors: Tensors = {}
    words = _words(max(inputs * outputs for _, _, inputs, outputs in shape.matrices()) // 8)
    for _, name, inputs, outputs in shape.matrices():
        groups = inputs // GROUP_SIZE
        tensors |= {
            f"{name}.qweight": words[: inputs // 8 * outputs].reshape(-1, outputs),
            f"{name}.qzeros": np.full((groups, outputs // 8), 0x77777777, np.int32),
            f"{name}.scales": np.full((groups, outputs), 2 * _SPREAD / 8, np.float16),
            f"{name}.g_idx": np.arange(inputs, dtype=np.int32) // GROUP_SIZE,
        }
    head = {"lm_head.weight": _table(shape)}
    _write_directory(shape, directory, tensors | head, _GPTQ)


def write_exl2(shape: Shape, directory: Path) -> None:
    """A Hugging Face directory of `shape` in EXL2 of 4 bits throughout; the head has 6, as by default.

    A file of the converter mixes widths to the same mean. Rows are permuted, as the converter's are.
    """
    matrices = [(name, inputs, outputs, EXL2_BITS) for _, name, inputs, outputs in shape.matrices()]
    matrices.append(("lm_head", shape.hidden, -(-shape.vocabulary // 32) * 32, EXL2_HEAD_BITS))
    words = _words(max(inputs * outputs * bits // 32 for _, inputs, outputs, bits in matrices))
    generator = np.random.default_rng(_SEED)
    tensors: Tensors = {}
    for name, inputs, outputs, bits in matrices:
        groups = np.arange(inputs // GROUP_SIZE, dtype=np.int16)
        first_rows = groups * (GROUP_SIZE * bits // 32)
        tensors |= {
            f"{name}.q_weight": words[: inputs * bits // 32 * outputs].reshape(-1, outputs),
            f"{name}.q_invperm": generator.permutation(inputs).astype(np.int32),
            # The scale is q_scale_max * ((code + 1) / 16) ** 2: all ones stand for q_scale_max itself.
            f"{name}.q_scale": np.full((len(groups), outputs // 8), -1, np.int32),
            f"{name}.q_scale_max": np.full(len(groups), 2 * _SPREAD / 2 ** (bits - 1), np.float16),
            f"{name}.q_groups": np.stack([np.full_like(groups, bits), first_rows], 1).reshape(-1),
        }
    settings = {"quant_method": "exl2", "version": "0.3.2", "bits": EXL2_BITS, "head_bits": EXL2_HEAD_BITS}
    _write_directory(shape, directory, tensors, settings)


def _words(count: int) -> np.ndarray:
    return _random_bytes(4 * count).view(np.int32)


def _table(shape: Shape) -> np.ndarray:
    """FP16 numbers of both signs around `_SPREAD`, from random bits, which is faster than a distribution."""
    bits = _random_bytes(2 * shape.embedding).view(np.uint16)
    exponent = np.frombuffer(np.float16(_SPREAD).tobytes(), np.uint16) & 0x7C00
    return ((bits & 0x83FF) | exponent).view(np.float16).reshape(shape.vocabulary, shape.hidden)


def _write_directory(shape: Shape, directory: Path, matrices: Tensors, settings: dict[str, Any]) -> None:
    directory.mkdir(parents=True)
    ones = np.ones(shape.hidden, np.float16)
    norms = [
        f"model.layers.{layer}.{name}_layernorm.weight"
        for layer in range(shape.layers)
        for name in ("input", "post_attention")
    ]
    rest = {"model.embed_tokens.weight": _table(shape)} | dict.fromkeys((*norms, "model.norm.weight"), ones)
    write_safetensors(directory / "model.safetensors", matrices | rest)
    config = {**llama_config(shape), "torch_dtype": "float16", "quantization_config": settings}
    (directory / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    _tokenizer(shape.vocabulary).save(str(directory / "tokenizer.json"))
    tokenizer = {"eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def llama_config(shape: Shape) -> dict[str, Any]:
    """The shape as config.json of a Hugging Face directory says it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context_length,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _tokenizer(size: int) -> Tokenizer:
    tokens = {token: number for number, token in enumerate(vocabulary(size))}
    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    return tokenizer
