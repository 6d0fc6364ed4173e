"""A model's folder for the server: real files with a real tokenizer of bytes, and weights of no meaning."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

CHAT_ML = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('no such role: ' + message.role) }}{% endif %}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BEGIN, END, TURN = "<|begin|>", "<|im_end|>", "<|im_start|>"


def write_model(
    directory: Path, *, template: str | None = CHAT_ML, method: str = "gptq", **config: Any
) -> Path:
    """A folder with all that a model needs to be served; its tokens are bytes and three special ones."""
    directory.mkdir(parents=True)
    tokenizer = byte_tokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    _write(directory / "tokenizer_config.json", {"bos_token": BEGIN, "eos_token": {"content": END}})
    if template is not None:
        (directory / "chat_template.jinja").write_text(template, encoding="utf-8")
    _write(
        directory / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "max_position_embeddings": 4096,
            "quantization_config": {"quant_method": method, "bits": 4},
            **config,
        },
    )
    write_safetensors(directory / "model.safetensors")
    return directory


def byte_tokenizer() -> Tokenizer:
    """A token for each byte, 256 to 258 for what begins a text, begins a turn, and ends one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={character: n for n, character in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in (BEGIN, TURN, END)])
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)]
    )
    return tokenizer


def write_safetensors(path: Path) -> Path:
    """A whole file of one tensor."""
    header = json.dumps({"w": {"dtype": "F16", "shape": [8], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    return path


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
