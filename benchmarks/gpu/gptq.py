"""Quantise a Llama in a Hugging Face directory by GPTQ: `python3 -m benchmarks.gpu.gptq <from> <to> <text>`.

GPTQ (Frantar et al., arXiv 2210.17323) rounds a weight matrix column by column, and moves what a column's
rounding loses into the columns that follow, weighed by the inverse Hessian of the layer's inputs on `text`.
This is its plain form: 4 bits, symmetric, groups of columns in their own order, all matrices of a block at
once.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.gpu.gptq_format import BITS, ZERO, packed, quantization_config

_BLOCK = 128  # columns between two updates of all that follow, for speed alone
_DAMPING = 0.01  # of the Hessian's mean diagonal, added to it


def quantise(weight: Tensor, hessian: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """Codes of shape (inputs, outputs) and scales of shape (groups, outputs) for `weight` (outputs, inputs).

    `hessian` is the sum over the tokens of input times input, of shape (inputs, inputs).
    """
    weight = weight.float().clone()
    inputs = weight.shape[1]
    if inputs % group_size:
        raise ValueError(f"{inputs} inputs are no multiple of the group size {group_size}")
    inverse = _inverse_factor(weight, hessian.float().clone())
    codes = torch.empty_like(weight)
    scales = torch.empty(inputs // group_size, weight.shape[0], device=weight.device)
    for start in range(0, inputs, _BLOCK):
        stop = min(start + _BLOCK, inputs)
        errors = torch.zeros_like(weight[:, start:stop])
        for column in range(start, stop):
            if column % group_size == 0:
                group = weight[:, column : column + group_size]
                scales[column // group_size] = (
                    (group.abs().amax(1) / (ZERO - 1)).clamp_min(1e-6).half().float()
                )
            scale = scales[column // group_size]
            codes[:, column] = (weight[:, column] / scale + ZERO).round().clamp(0, 2**BITS - 1)
            lost = weight[:, column] - (codes[:, column] - ZERO) * scale
            errors[:, column - start] = lost / inverse[column, column]
            weight[:, column + 1 : stop] -= torch.outer(
                errors[:, column - start], inverse[column, column + 1 : stop]
            )
        weight[:, stop:] -= errors @ inverse[start:stop, stop:]
    return codes.t().to(torch.int32).contiguous(), scales


def _inverse_factor(weight: Tensor, hessian: Tensor) -> Tensor:
    """The upper Cholesky factor of the inverse of the damped Hessian; inputs that are always 0 don't count.

    Changes both arguments.
    """
    diagonal = hessian.diagonal()
    unused = diagonal == 0
    weight[:, unused] = 0
    diagonal[unused] = 1
    diagonal += _DAMPING * diagonal.mean()
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)


def dequantise(codes: Tensor, scales: Tensor) -> Tensor:
    """The weight (outputs, inputs) that `codes` and `scales` stand for."""
    return ((codes - ZERO) * scales.repeat_interleave(codes.shape[0] // scales.shape[0], 0)).t()


def quantise_model(model: nn.Module, batches: list[Tensor], group_size: int) -> dict[str, Tensor]:
    """The checkpoint of `model`, a Llama, whose matrices become what their codes stand for."""
    quantised: dict[str, Tensor] = {}
    for index, block in enumerate(model.get_submodule("model.layers").children()):
        matrices = {name: part for name, part in block.named_modules() if isinstance(part, nn.Linear)}
        hessians = {
            name: torch.zeros(part.in_features, part.in_features, device=part.weight.device)
            for name, part in matrices.items()
        }
        hooks = [part.register_forward_pre_hook(_adds_to(hessians[name])) for name, part in matrices.items()]
        for batch in batches:
            model(batch.to(next(block.parameters()).device))
        for hook in hooks:
            hook.remove()
        for name, part in matrices.items():
            codes, scales = quantise(part.weight, hessians[name], group_size)
            part.weight.copy_(dequantise(codes, scales))
            prefix = f"model.layers.{index}.{name}"
            quantised |= {f"{prefix}.{key}": value.cpu() for key, value in packed(codes, scales).items()}
    rest = {
        name: value for name, value in model.state_dict().items() if f"{name[:-7]}.qweight" not in quantised
    }
    return quantised | {name: value.half().cpu().contiguous() for name, value in rest.items()}


def _adds_to(hessian: Tensor) -> Callable[[nn.Module, tuple[Tensor]], None]:
    def add(_: nn.Module, inputs: tuple[Tensor]) -> None:
        rows = inputs[0].reshape(-1, hessian.shape[0]).float()
        hessian.addmm_(rows.t(), rows)

    return add


def main() -> None:
    """Quantise as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("text", type=Path, nargs="+", help="to calibrate on")
    parser.add_argument("--group-size", type=int, default=64)
    parser.add_argument("--samples", type=int, default=64, help="from each text")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a sample")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(str(arguments.source), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(str(arguments.source))
    batches = []
    for text in arguments.text:
        tokens = torch.tensor(tokenizer(text.read_text(encoding="utf-8"))["input_ids"])
        samples = tokens[: len(tokens) // arguments.length * arguments.length].view(-1, arguments.length)
        batches += list(samples[: arguments.samples].split(8))
    with torch.inference_mode():
        weights = quantise_model(model.to(arguments.device), batches, arguments.group_size)
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    shutil.copytree(arguments.source, arguments.target, ignore=shutil.ignore_patterns("*.safetensors"))
    save_file(weights, arguments.target / "model.safetensors", metadata={"format": "pt"})
    file = arguments.target / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"torch_dtype": "float16", "dtype": "float16"}
    config["quantization_config"] = quantization_config(arguments.group_size)
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
