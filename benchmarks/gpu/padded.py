"""SmolLM2 padded with zeros for ExLlamaV3: `python3 -m benchmarks.gpu.padded <BF16 model> <directory>`.

exllamav3 1.6 converts no model whose hidden size is not a multiple of 128: its matrices are padded, the
state between the layers is not. SmolLM2-135M's is 576; here it is 768, with 12 heads for 9 and 4 key-value
heads for 3. What is new is 0 and adds nothing; the norms' weights make up for a mean over more elements. So
the model says what it said, but for the rounding of its norms.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import pad

_MULTIPLE = 128


def padded(tensors: dict[str, Tensor], config: dict[str, int]) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The tensors and the settings of the wider model."""
    hidden, head = config["hidden_size"], config["hidden_size"] // config["num_attention_heads"]
    group = config["num_attention_heads"] // config["num_key_value_heads"]
    key_value_heads = config["num_key_value_heads"]
    while key_value_heads * head % _MULTIPLE or key_value_heads * group * head % _MULTIPLE:
        key_value_heads += 1
    wider = {
        "hidden_size": key_value_heads * group * head,
        "num_attention_heads": key_value_heads * group,
        "num_key_value_heads": key_value_heads,
        "head_dim": head,
    }
    queries, keys = wider["num_attention_heads"] * head, key_value_heads * head
    outputs = {"q_proj": queries, "k_proj": keys, "v_proj": keys, "o_proj": wider["hidden_size"]}
    outputs |= {"down_proj": wider["hidden_size"]}
    scale = math.sqrt(hidden / wider["hidden_size"])
    made = {}
    for name, tensor in tensors.items():
        part = name.split(".")[-2]
        if part.endswith("norm"):
            made[name] = pad((tensor.float() * scale).to(tensor.dtype), (0, wider["hidden_size"] - hidden))
            continue
        inputs = {"o_proj": queries, "down_proj": tensor.shape[1]}.get(part, wider["hidden_size"])
        rows = outputs.get(part, tensor.shape[0]) - tensor.shape[0]
        made[name] = pad(tensor, (0, inputs - tensor.shape[1], 0, rows))
    return made, wider


def main() -> None:
    """Pad the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    config = json.loads((arguments.source / "config.json").read_text(encoding="utf-8"))
    tensors, wider = padded(load_file(arguments.source / "model.safetensors"), config)
    shutil.copytree(arguments.source, arguments.target, ignore=shutil.ignore_patterns("*.safetensors"))
    save_file(tensors, arguments.target / "model.safetensors", metadata={"format": "pt"})
    text = json.dumps({**config, **wider}, indent=2)
    (arguments.target / "config.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
