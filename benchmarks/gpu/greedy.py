"""Greedy text of quantised models beside the BF16 model's: `python3 -m benchmarks.gpu.greedy`.

The BF16 model runs in Transformers, every other through the container's HTTP entrypoint, with the same chat
messages. All texts are split by the same tokenizer, so numbers tell how many tokens two texts have in common.
Greedy texts part for good at the first token that differs, where two tokens may be almost as likely. How
much of a difference means nothing is shown by the same weights in FP32, which all are compared to as well.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.gpu.machine import gpu_machine
from benchmarks.gpu.serving import options, serving

TOKENS = 48
SYSTEM = "You are a helpful assistant."
PROMPTS = (
    "What is the capital of France?",
    "Explain in two sentences why the sky is blue.",
    "Write a short poem about the sea.",
    "List three healthy breakfast ideas.",
    "What is the difference between a list and a tuple in Python?",
    "Translate to French: Good morning, how are you?",
    "Who wrote Romeo and Juliet, and when?",
    "Give me a recipe for tomato soup.",
    "What is 12 times 12? Explain the steps.",
    "Write a formal email that asks for a day off.",
)

_BF16 = "BF16 (Transformers)"
_FP32 = "FP32 (Transformers)"

Answers = list[list[int]]


def reference(directory: Path, dtype: torch.dtype) -> list[str]:
    """What Transformers says to `PROMPTS`."""
    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    model = AutoModelForCausalLM.from_pretrained(str(directory), dtype=dtype).to("cuda")
    texts = []
    for prompt in PROMPTS:
        text = tokenizer.apply_chat_template(_messages(prompt), add_generation_prompt=True, tokenize=False)
        inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False).to("cuda")
        output = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        texts.append(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    return texts


def served(engine: str, model: Path, kv_cache: str) -> list[str]:
    """What the container with `model` says to them."""
    with serving(engine, model, options(engine, context=2048, concurrency=4, kv_cache=kv_cache)) as running:
        texts = []
        for prompt in PROMPTS:
            body = {"messages": _messages(prompt), "max_tokens": TOKENS, "temperature": 0}
            status, answer = running.container.request("POST", "/invocations", body)
            if status != 200:
                raise RuntimeError(f"{engine} answered {status}: {answer}")
            texts.append(answer["choices"][0]["message"]["content"])
    return texts


def _messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]


def compared(ours: Answers, theirs: Answers) -> dict[str, Any]:
    """Identical answers, tokens before the first difference, and the share of places with the same token."""
    prefixes = [_common(mine, other) for mine, other in zip(ours, theirs, strict=True)]
    places = [
        sum(mine == other for mine, other in zip(one, another, strict=False)) / max(len(one), len(another), 1)
        for one, another in zip(ours, theirs, strict=True)
    ]
    return {
        "identical_answers": sum(mine == other for mine, other in zip(ours, theirs, strict=True)),
        "answers": len(ours),
        "mean_common_prefix_tokens": round(sum(prefixes) / len(prefixes), 1),
        "common_prefix_tokens": prefixes,
        "mean_length_tokens": round(sum(map(len, theirs)) / len(theirs), 1),
        "identical_first_tokens": sum(prefix > 0 for prefix in prefixes),
        "identical_tokens_share": round(sum(places) / len(places), 3),
    }


def _common(mine: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(mine, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def main() -> None:
    """Compare the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("served", nargs="+", metavar="name=engine:path[:cache]", help="path: in models")
    arguments = parser.parse_args()
    directory = arguments.models / "bf16"
    tokenizer = AutoTokenizer.from_pretrained(str(directory))
    texts = {_BF16: reference(directory, torch.bfloat16)}
    runs: dict[str, Callable[[], list[str]]] = {
        _FP32: lambda: reference(directory, torch.float32),
        **{
            name: _run(arguments.models, value)
            for name, _, value in (argument.partition("=") for argument in arguments.served)
        },
    }
    rows: dict[str, Any] = {}
    for name, run in runs.items():
        try:
            texts[name] = run()
            rows[name] = {
                reference_name: compared(
                    _tokens(tokenizer, texts[reference_name]), _tokens(tokenizer, texts[name])
                )
                for reference_name in (_BF16, _FP32)
            }
        except (AssertionError, RuntimeError, OSError) as error:
            rows[name] = {"error": str(error)[-2000:]}
        print(
            f"{name:32}",
            {key: value for key, value in rows[name].items() if key != "error"} or "failed",
            flush=True,
        )
        results = {"machine": gpu_machine(), "tokens": TOKENS, "compared": rows, "texts": texts}
        arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _run(models: Path, value: str) -> Callable[[], list[str]]:
    engine, path, *cache = value.split(":")
    return lambda: served(engine, models / path, cache[0] if cache else "f16")


def _tokens(tokenizer: Any, texts: list[str]) -> Answers:
    return [tokenizer(text)["input_ids"] for text in texts]


if __name__ == "__main__":
    main()
