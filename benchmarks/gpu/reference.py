"""A GGUF file as a Hugging Face directory in BF16: `python3 -m benchmarks.gpu.reference <file> <directory>`.

The weights are those of the GGUF, dequantised and rounded to BF16. So the directory is not the model that was
quantised, but it is one unquantised model that every engine and every quantisation here can be compared with.
The tokenizer splits text as GGUF's "smollm" does, and into bytes: Transformers doesn't read that field, and
makes a tokenizer that llama.cpp's converter takes for one of SentencePiece.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoModelForCausalLM, AutoTokenizer


def write_reference(gguf: Path, directory: Path) -> None:
    """Write config, weights and tokenizer of `gguf` to `directory`."""
    source, file = str(gguf.parent), gguf.name
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file)
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    tokenizer.backend_tokenizer.decoder = ByteLevelDecoder()
    tokenizer.backend_tokenizer.model.byte_fallback = False
    directory.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    config = json.dumps(config_of(model.config.to_dict()), indent=2)
    (directory / "config.json").write_text(config, encoding="utf-8")
    tokenizer.backend_tokenizer.save(str(directory / "tokenizer.json"))
    settings = json.dumps(tokenizer_config_of(model.config.to_dict(), tokenizer), indent=2)
    (directory / "tokenizer_config.json").write_text(settings, encoding="utf-8")


def config_of(config: dict[str, Any]) -> dict[str, Any]:
    """`config` without the GGUF's quantisation, and as engines older than Transformers 5 read it.

    Transformers 5 moved the base of the rotary embedding into `rope_parameters`. ExLlamaV2 0.3 looks for it
    at its old place alone, and takes 10,000 if it isn't there.
    """
    theta = config["rope_parameters"]["rope_theta"]
    dropped = ("quantization_config", "_name_or_path")
    kept = {name: value for name, value in config.items() if name not in dropped}
    return {**kept, "architectures": ["LlamaForCausalLM"], "rope_theta": theta, "torch_dtype": "bfloat16"}


def tokenizer_config_of(config: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """The special tokens by the ids of the GGUF, and its chat template."""
    special = {
        f"{name}_token": tokenizer.convert_ids_to_tokens(config[f"{name}_token_id"])
        for name in ("bos", "eos", "unk", "pad")
    }
    return {
        **special,
        "chat_template": tokenizer.chat_template,
        "model_max_length": config["max_position_embeddings"],
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("directory", type=Path)
    arguments = parser.parse_args()
    write_reference(arguments.gguf, arguments.directory)
