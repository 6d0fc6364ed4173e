"""Models of random weights in the shapes of well-known ones: for memory and speed, nothing else matters.

Both engines get one with the same vocabulary, in which each byte of a text is a token: so a prompt of n ASCII
letters has n tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as GgmlType
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from benchmarks.gpu.gptq_format import quantization_config

GROUP_SIZE = 128
_SPREAD = 0.02  # of a weight: with it a random model's activations neither vanish nor overflow
_SEED = 1


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
    generator = np.random.default_rng(_SEED)
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
    for name, inputs, outputs in (*tables, *matrices):
        writer.add_tensor(f"{name}.weight", _blocks(generator, inputs, outputs, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _blocks(generator: np.random.Generator, inputs: int, outputs: int, kind: GgmlType) -> np.ndarray:
    """Blocks of random codes, each after its FP16 scale, as Q4_0 and Q8_0 have them."""
    size, width = gguf.GGML_QUANT_SIZES[kind]
    codes = {GgmlType.Q4_0: 8, GgmlType.Q8_0: 127}[kind]
    blocks = generator.integers(0, 256, (outputs, inputs // size, width), np.uint8)
    scale = np.frombuffer(np.float16(2 * _SPREAD / codes).tobytes(), np.uint8)
    blocks[..., : len(scale)] = scale
    return blocks.reshape(outputs, -1)


def write_gptq(shape: Shape, directory: Path, device: str = "cuda") -> None:
    """A Hugging Face directory of `shape` in 4-bit GPTQ; embeddings, head and norms are FP16."""
    directory.mkdir(parents=True)
    torch.manual_seed(_SEED)
    tensors: dict[str, torch.Tensor] = {}
    for _, name, inputs, outputs in shape.matrices():
        groups = inputs // GROUP_SIZE
        tensors |= {
            f"{name}.qweight": torch.randint(
                -(2**31), 2**31 - 1, (inputs // 8, outputs), dtype=torch.int32, device=device
            ).cpu(),
            f"{name}.qzeros": torch.full((groups, outputs // 8), 0x77777777, dtype=torch.int32),
            f"{name}.scales": torch.full((groups, outputs), 2 * _SPREAD / 8, dtype=torch.float16),
            f"{name}.g_idx": torch.arange(inputs, dtype=torch.int32) // GROUP_SIZE,
        }
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        table = torch.randn(shape.vocabulary, shape.hidden, dtype=torch.float16, device=device) * _SPREAD
        tensors[name] = table.cpu()
    ones = torch.ones(shape.hidden, dtype=torch.float16)
    norms = [
        f"model.layers.{layer}.{name}_layernorm.weight"
        for layer in range(shape.layers)
        for name in ("input", "post_attention")
    ]
    tensors |= {name: ones.clone() for name in (*norms, "model.norm.weight")}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(_config(shape), indent=2), encoding="utf-8")
    _tokenizer(shape.vocabulary).save(str(directory / "tokenizer.json"))
    settings = {"eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _config(shape: Shape) -> dict[str, object]:
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
        "torch_dtype": "float16",
        "bos_token_id": 0,
        "eos_token_id": 0,
        "quantization_config": quantization_config(GROUP_SIZE),
    }


def _tokenizer(size: int) -> Tokenizer:
    tokens = {token: number for number, token in enumerate(vocabulary(size))}
    tokenizer = Tokenizer(models.BPE(vocab=tokens, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    return tokenizer
