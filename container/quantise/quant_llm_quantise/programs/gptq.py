"""GPTQ in 4 bits by GPTQModel, as ExLlamaV2 and vLLM read it: `python3 -m … <source> <folder> …`.

The result is the source with other weights: tokenizer, chat template and config.json are those that were
published, and not what Transformers makes of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quant_llm_quantise.programs.exllamav2_source import with_rope
from quant_llm_quantise.programs.windows import calibration_windows

BITS = 4
"""What ExLlamaV2 reads of GPTQ."""

LENGTH = 1024
"""Tokens of a calibration window."""

COUNT = 256
"""Calibration windows, as many as GPTQModel advises."""

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.pt", "*.pth", "*.gguf")


def misfit(config: Mapping[str, Any], group_size: int) -> str | None:
    """What is wrong with groups of `group_size` inputs for the dimensions of config.json, if anything."""
    widths = {name: config[name] for name in ("hidden_size", "intermediate_size") if name in config}
    if "head_dim" in config and "num_attention_heads" in config:
        widths["width of all heads"] = config["head_dim"] * config["num_attention_heads"]
    for name, width in widths.items():
        if width % group_size:
            fits = [str(size) for size in (32, 64, 128) if not any(one % size for one in widths.values())]
            return (
                f"the {name} of {width} is no multiple of the group size {group_size}: "
                f"{' and '.join(fits) or 'no group size'} would fit"
            )
    return None


def quantise(source: Path, made: Path, tokens: list[list[int]], group_size: int, seed: int) -> None:
    """Write the quantised model to the new folder `made` as GPTQModel does."""
    import torch
    from gptqmodel import GPTQModel
    from gptqmodel.quantization.config import GPTQConfig

    torch.manual_seed(seed)
    settings = GPTQConfig(bits=BITS, group_size=group_size, sym=True, desc_act=False, offload_to_disk=False)
    model = GPTQModel.load(str(source), settings, trust_remote_code=False)
    calibration = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in tokens]
    model.quantize(calibration, batch_size=1)
    model.save(str(made))


def take_over(source: Path, made: Path, folder: Path) -> None:
    """Put the weights of `made` and all else of `source` into `folder`."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*_WEIGHTS), dirs_exist_ok=True)
    for path in (*made.glob("*.safetensors"), *made.glob("*.safetensors.index.json")):
        shutil.move(path, folder / path.name)
    config = with_rope(json.loads((source / "config.json").read_text(encoding="utf-8")))
    settings = json.loads((made / "config.json").read_text(encoding="utf-8"))["quantization_config"]
    config["quantization_config"] = settings
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Quantise as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="to calibrate on")
    parser.add_argument("--group-size", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True, help="chooses the windows of the text")
    parser.add_argument("--work", type=Path, required=True, help="a new folder for GPTQModel's own output")
    arguments = parser.parse_args()
    if wrong := misfit(json.loads((arguments.source / "config.json").read_bytes()), arguments.group_size):
        parser.exit(1, f"{wrong}\n")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(arguments.source))
    tokens = tokenizer(arguments.text.read_text(encoding="utf-8"), verbose=False)["input_ids"]
    try:
        windows = calibration_windows(tokens, LENGTH, COUNT, arguments.seed)
    except ValueError as error:
        parser.exit(1, f"{error}\n")
    print(f"calibrating on {len(windows)} windows of {LENGTH} tokens", flush=True)
    quantise(arguments.source, arguments.work, windows, arguments.group_size, arguments.seed)
    take_over(arguments.source, arguments.work, arguments.folder)


if __name__ == "__main__":
    main()
