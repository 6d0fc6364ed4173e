"""The dimensions of the models that the synthetic repositories show, as in the models' own config.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer's size on disk: how many pieces and merges it has, and the bytes of their texts together.

    The byte counts of the large models are those that make the headers as long as the published files' are.
    """

    model: str  # tokenizer.ggml.model: "llama" for SentencePiece, "gpt2" for byte-level BPE
    size: int
    text_bytes: int
    merges: int = 0
    merge_bytes: int = 0

    def pieces(self) -> list[str]:
        """One distinct text per token."""
        return list(_texts(self.size, self.text_bytes, separator=""))

    def merge_rules(self) -> list[str]:
        """One distinct pair per merge; only byte-level BPE has any."""
        return list(_texts(self.merges, self.merge_bytes, separator=" "))


def _texts(count: int, total_bytes: int, separator: str) -> Iterator[str]:
    """`count` distinct ASCII texts of `total_bytes` together, as even in length as can be."""
    for number in range(count):
        length = total_bytes // count + (number < total_bytes % count)
        yield separator + f"{number:x}".rjust(length - len(separator), "_")


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer: what its header and its config.json say."""

    name: str
    gguf_name: str  # general.architecture
    model_type: str  # config.json
    class_name: str  # config.json, `architectures`
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    key_value_heads: int
    context: int
    rope_theta: float
    norm_epsilon: float
    vocabulary: Vocabulary
    bos_token: int
    eos_token: int
    attention_bias: bool = False

    @property
    def head_size(self) -> int:
        """Weights of one attention head."""
        return self.hidden // self.heads

    @property
    def key_value_size(self) -> int:
        """Rows of the key and of the value projection."""
        return self.head_size * self.key_value_heads

    def config(self) -> dict[str, object]:
        """What transformers would write as config.json, without a quantization_config."""
        return {
            "architectures": [self.class_name],
            "bos_token_id": self.bos_token,
            "eos_token_id": self.eos_token,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.feed_forward,
            "max_position_embeddings": self.context,
            "model_type": self.model_type,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.key_value_heads,
            "rms_norm_eps": self.norm_epsilon,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "vocab_size": self.vocabulary.size,
        }


MISTRAL_7B = Architecture(
    name="mistralai_mistral-7b-instruct-v0.2",
    gguf_name="llama",
    model_type="mistral",
    class_name="MistralForCausalLM",
    layers=32,
    hidden=4096,
    feed_forward=14336,
    heads=32,
    key_value_heads=8,
    context=32768,
    rope_theta=1_000_000.0,
    norm_epsilon=1e-5,
    vocabulary=Vocabulary("llama", size=32_000, text_bytes=205_200),
    bos_token=1,
    eos_token=2,
)

CODELLAMA_34B = Architecture(
    name="codellama-34b-instruct-hf",
    gguf_name="llama",
    model_type="llama",
    class_name="LlamaForCausalLM",
    layers=48,
    hidden=8192,
    feed_forward=22016,
    heads=64,
    key_value_heads=8,
    context=16384,
    rope_theta=1_000_000.0,
    norm_epsilon=1e-5,
    vocabulary=Vocabulary("llama", size=32_000, text_bytes=208_000),
    bos_token=1,
    eos_token=2,
)

LLAMA_3_70B = Architecture(
    name="llama-3-70b-instruct",
    gguf_name="llama",
    model_type="llama",
    class_name="LlamaForCausalLM",
    layers=80,
    hidden=8192,
    feed_forward=28672,
    heads=64,
    key_value_heads=8,
    context=8192,
    rope_theta=500_000.0,
    norm_epsilon=1e-5,
    vocabulary=Vocabulary("gpt2", size=128_256, text_bytes=900_000),
    bos_token=128_000,
    eos_token=128_009,
)

# The published header says 131,072 for the context, config.json of the unquantised model 32,768.
QWEN_2_5_14B = Architecture(
    name="qwen2.5-14b-instruct",
    gguf_name="qwen2",
    model_type="qwen2",
    class_name="Qwen2ForCausalLM",
    layers=48,
    hidden=5120,
    feed_forward=13824,
    heads=40,
    key_value_heads=8,
    context=131_072,
    rope_theta=1_000_000.0,
    norm_epsilon=1e-6,
    vocabulary=Vocabulary("gpt2", size=152_064, text_bytes=1_597_220, merges=151_387, merge_bytes=1_300_000),
    bos_token=151_643,
    eos_token=151_645,
    attention_bias=True,
)

# Not a model of anyone's: small enough that every byte can be hashed and repacked in a test.
TINY = Architecture(
    name="tiny",
    gguf_name="llama",
    model_type="llama",
    class_name="LlamaForCausalLM",
    layers=2,
    hidden=512,
    feed_forward=1536,
    heads=8,
    key_value_heads=2,
    context=512,
    rope_theta=10_000.0,
    norm_epsilon=1e-5,
    vocabulary=Vocabulary("llama", size=1024, text_bytes=6_000),
    bos_token=1,
    eos_token=2,
)
