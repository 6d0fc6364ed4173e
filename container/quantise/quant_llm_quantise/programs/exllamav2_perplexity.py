"""The perplexity of a model in ExLlamaV2, the engine that serves it: `python3 -m … <folder> <text>`.

For weights in FP16 or BF16, EXL2 and GPTQ. As llama.cpp's tools/perplexity takes it: windows of 512 tokens,
of which the second half counts. One layer is on the GPU at a time, with all windows' states in main memory,
so that whatever could be converted can be measured.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable
from pathlib import Path

import torch
from exllamav2 import ExLlamaV2, ExLlamaV2Config
from exllamav2.attn import ExLlamaV2Attention
from exllamav2.device import set_device_streams
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from quant_llm_quantise.programs.windows import measured_windows

LENGTH = 512
"""Tokens of a window."""

_DEVICE = "cuda:0"


def perplexity(folder: Path, windows: Iterable[list[int]]) -> float:
    """exp of the mean negative logarithm of the probability that each token of the second halves has."""
    config = ExLlamaV2Config(str(folder))
    config.arch_compat_overrides()
    config.max_seq_len = config.max_input_len = LENGTH
    model = ExLlamaV2(config)
    model.load(lazy=True)
    set_device_streams()
    attention = ExLlamaV2Attention.Params(1, LENGTH, 0, None, None)
    tokens = [torch.tensor([window]) for window in windows]
    states = tokens
    *layers, head = model.modules
    for layer in layers:
        layer.load()
        states = [_forward(layer, state, attention) for state in states]
        layer.unload()
    head.load()
    total = 0.0
    for ids, state in zip(tokens, states, strict=True):
        logits = head.forward(state.to(_DEVICE), cache=None, attn_params=attention, past_len=0)
        total += _surprise(logits[0, :, : logits.shape[-1] - head.padding], ids[0], config)
    return math.exp(total / len(tokens) / (LENGTH - LENGTH // 2 - 1))


def _forward(layer: object, state: Tensor, attention: object) -> Tensor:
    # The embedding is in main memory, and takes its tokens there.
    given = state if state.dtype == torch.long else state.to(_DEVICE)
    made: Tensor = layer.forward(given, cache=None, attn_params=attention, past_len=0)  # type: ignore[attr-defined] # a module of exllamav2
    return made.cpu()


def _surprise(logits: Tensor, ids: Tensor, config: ExLlamaV2Config) -> float:
    """The sum of the negative logarithms for the tokens after the middle; `logits` is (tokens, words)."""
    counted = logits[LENGTH // 2 : -1].float()
    if config.final_logit_softcapping:
        counted = config.final_logit_softcapping * torch.tanh(counted / config.final_logit_softcapping)
    found: float = functional.cross_entropy(
        counted, ids[LENGTH // 2 + 1 :].to(counted.device), reduction="sum"
    ).item()
    return found


def read_windows(folder: Path, text: Path) -> list[list[int]]:
    """The text's windows by the tokenizer of the folder; ValueError if it is too short."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokens = tokenizer.encode(text.read_text(encoding="utf-8"), add_special_tokens=False).ids
    first = tokenizer.encode("").ids[:1]
    bos = first[0] if first and first[0] == config.get("bos_token_id") else None
    return measured_windows(tokens, LENGTH, bos)


def main() -> None:
    """Print the perplexity of what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("text", type=Path)
    arguments = parser.parse_args()
    if not (arguments.folder / "tokenizer.json").is_file():
        parser.exit(1, "the weights have no tokenizer.json, which exllamav2's server reads too\n")
    try:
        windows = read_windows(arguments.folder, arguments.text)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(f"{len(windows)} windows of {LENGTH} tokens", flush=True)
    with torch.inference_mode():
        print(f"perplexity: {perplexity(arguments.folder, windows):.4f}")


if __name__ == "__main__":
    main()
