"""Where a token's time goes in ExLlamaV2: `python3 -m benchmarks.gpu.decode_profile <model> <results>`.

The container's backend runs in this process, with no server around it. For 1 and 8 jobs it tells the
tokens a second, and for each step how long it takes and for how much of that the GPU computes. --plain leaves
out the backend's own CUDA graphs of whole steps. The answers of jobs alone and in a batch are compared.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import pstats
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType

from benchmarks.gpu.machine import gpu_machine
from benchmarks.gpu.throughput import PROMPT
from quant_llm_exllama import exllamav2_backend
from quant_llm_exllama.backend import Job, Sampling
from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.exllama_options import ExllamaOptions

BATCHES = (1, 8)
TOKENS = 128
ROUNDS = 3
_PROFILED_STEPS = 24
_PROMPTS = 32


def answers(backend: Any, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
    """What the jobs say, all at once and greedily."""
    jobs = [_job(prompt, tokens) for prompt in prompts]
    for job in jobs:
        backend.start(job)
    said: dict[Job, list[int]] = {job: [] for job in jobs}
    finished = 0
    while finished < len(jobs):
        for event in backend.step():
            said[event.job] += event.tokens
            finished += event.finish is not None
    return list(said.values())


def _job(prompt: Sequence[int], tokens: int) -> Job:
    return Job(prompt=prompt, max_tokens=tokens, stop_tokens=frozenset(), sampling=Sampling(temperature=0))


def difference(backend: Any, prompts: Sequence[Sequence[int]]) -> dict[str, float]:
    """How far logits of replayed steps are from the same steps run kernel by kernel, in the latters' spread.

    The kernels add in no fixed order, so two runs of a step differ too: that is `of_itself`.
    """
    graphs = backend._model.forward_chunk.__self__
    found = {"replayed": 0.0, "of_itself": 0.0, "same_token": 1.0}

    def both(**options: Any) -> dict[str, torch.Tensor]:
        made: dict[str, torch.Tensor] = graphs.forward(**options)
        if "logits" in made:
            words = backend._model.config.vocab_size  # what comes after is padding
            replayed = made["logits"][..., :words].float()
            eager, again = (graphs._eager(**options)["logits"][..., :words].float() for _ in range(2))
            if not eager.isfinite().all():
                raise RuntimeError("the model's logits are no numbers")
            spread = eager.std()
            found["replayed"] = max(found["replayed"], float((replayed - eager).abs().max() / spread))
            found["of_itself"] = max(found["of_itself"], float((again - eager).abs().max() / spread))
            same = (replayed.argmax(-1) == eager.argmax(-1)).float().mean()
            found["same_token"] = min(found["same_token"], float(same))
        return made

    backend._model.forward_chunk = both
    answers(backend, prompts, 12)
    backend._model.forward_chunk = graphs.forward
    return {name: round(value, 5) for name, value in found.items()}


def profile(backend: Any, prompts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Rates and times of steps in which all `prompts` are answered at once."""
    answers(backend, prompts, 16)
    rounds = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        answers(backend, prompts, TOKENS)
        rounds.append(time.perf_counter() - started)
    for prompt in prompts:
        backend.start(_job(prompt, TOKENS))
    for _ in range(4):
        backend.step()
    started = time.perf_counter()
    for _ in range(_PROFILED_STEPS):
        backend.step()
    step = (time.perf_counter() - started) / _PROFILED_STEPS
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as recorded:
        for _ in range(_PROFILED_STEPS):
            backend.step()
    busy = sum(one.self_device_time_total for one in recorded.events() if one.device_type == DeviceType.CUDA)
    python = cProfile.Profile()
    python.enable()
    for _ in range(_PROFILED_STEPS):
        backend.step()
    python.disable()
    text = io.StringIO()
    pstats.Stats(python, stream=text).sort_stats("tottime").print_stats(14)
    _finish(backend)
    return {
        "tokens_per_s": round(len(prompts) * TOKENS / statistics.median(rounds), 1),
        "step_ms": round(step * 1e3, 3),
        "gpu_ms": round(busy / 1e3 / _PROFILED_STEPS, 3),
        "python": text.getvalue().splitlines()[-20:],
    }


def _finish(backend: Any) -> None:
    while backend._jobs:
        backend.step()


def main() -> None:
    """Profile the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    if arguments.plain:
        vars(exllamav2_backend)["can_capture"] = lambda *_, **__: False
    options = ExllamaOptions(context_length=512, max_batch_size=_PROMPTS)
    tokenizer = Tokenizer(arguments.model)
    prompts = [tokenizer.encode(PROMPT.format(number), add_special_tokens=True) for number in range(_PROMPTS)]
    free_at_first = torch.cuda.mem_get_info()[0]
    backend = exllamav2_backend.ExLlamaV2Backend(arguments.model, options)
    torch.cuda.synchronize()
    loaded = torch.cuda.mem_get_info()[0]
    alone = [answers(backend, [prompt], 24)[0] for prompt in prompts[:7]]
    measured: dict[str, Any] = {
        "answers": alone,
        "same_first_tokens_alone_and_with_others": [
            sum(1 for _ in _prefix(one, other))
            for one, other in zip(alone, answers(backend, prompts[:7], 24), strict=True)
        ],
        **{str(batch): profile(backend, prompts[:batch]) for batch in BATCHES},
        "loaded_mib": (free_at_first - loaded) >> 20,
        "grown_by_mib": (loaded - torch.cuda.mem_get_info()[0]) >> 20,
    }
    if not arguments.plain:
        measured["difference"] = {
            str(count): difference(backend, prompts[:count]) for count in (1, 3, 7, _PROMPTS)
        }
    row = {"model": arguments.model.name, "plain": arguments.plain, **measured}
    print({name: value for name, value in row.items() if name not in ("answers", *map(str, BATCHES))})
    for batch in BATCHES:
        print(batch, {name: value for name, value in measured[str(batch)].items() if name != "python"})
    results = {"machine": gpu_machine(), **row}
    arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def _prefix(one: Sequence[int], other: Sequence[int]) -> Sequence[int]:
    for index, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return one[:index]
    return one


if __name__ == "__main__":
    main()
