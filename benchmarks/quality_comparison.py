"""What quantisation does to a model's answers: a small real model beside coarser and finer ones of itself.

The reference is SmolLM2-135M-Instruct with BF16 weights. It continues six texts greedily. At each token of
these continuations every other model is asked for the next one, given the same tokens so far: one early
difference must not hide what comes after it. Counted are

- how often the most likely token is the reference's,
- how many tokens a free greedy answer would have in common with the reference's before the first difference,
- the Kullback-Leibler divergence from the reference, over the reference's 1,000 most likely tokens.

The weights come from a file that is Q4_1: no package has the original ones. So the reference is that file's
weights, dequantised, and the loss that the publisher's own quantisation brought is in no row. The file itself
has the same weights as the reference; its row shows what the engine's arithmetic alone changes. In all models
but the reference the embeddings, which are the head too, are Q8_0.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from statistics import fmean
from typing import Any

import xllamacpp  # type: ignore[import-untyped] # a compiled module that ships no types
from gguf import GGMLQuantizationType as GgmlType

from benchmarks.gpu.requantise import requantise
from benchmarks.machine import machine
from quant_llm_tools.bench.prompts import PARAGRAPHS, load_prompts
from quant_llm_tools.local_aws.hub.catalogue import packaged_model

REFERENCE = "BF16"
KINDS = ("Q8_0", "Q5_1", "Q5_0", "Q4_0")
AS_PUBLISHED = "Q4_1, as published"
TOKENS, QUICK_TOKENS = 100, 8
_PROBABILITIES = 1000
_PUBLISHED = (
    "Published, Llama 3 (Huang et al., arXiv 2404.14047): 8 bits nearly lossless at 8B and 70B; 4 bits (AWQ) "
    "lose about 2 % at 8B and 0.05 % at 70B; below 4 bits small models degrade badly."
)

Distribution = Mapping[int, float]
"""The logarithms of the most likely tokens' probabilities; the likeliest comes first."""


@dataclass(frozen=True)
class Row:
    """A model beside the reference; `common_tokens` is the mean over the texts, of at most `TOKENS`."""

    model: str
    megabytes: float
    positions: int
    same_token: int
    common_tokens: float
    divergence: float


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two texts and a few tokens")
    parser.add_argument("--json", action="store_true", help="print one line of JSON in place of the table")
    arguments = parser.parse_args()
    texts = load_prompts().texts[len(PARAGRAPHS) - 1 :: len(PARAGRAPHS)]
    rows = measure(texts[:2] if arguments.quick else texts, QUICK_TOKENS if arguments.quick else TOKENS)
    where = {**machine(()), "xllamacpp": version("xllamacpp"), "gguf": version("gguf")}
    if arguments.json:
        print(json.dumps({"environment": where, "rows": [asdict(row) for row in rows]}))
    else:
        print("\n".join((*(f"{name:<10} {value}" for name, value in where.items()), "", *table(rows))))
        print(f"\n{_PUBLISHED}")
    return 0


def measure(texts: Sequence[str], tokens: int) -> list[Row]:
    """A row for each model."""
    with tempfile.TemporaryDirectory() as scratch:
        files = {kind: Path(scratch, f"{kind}.gguf") for kind in (REFERENCE, *KINDS)}
        for kind, file in files.items():
            requantise(packaged_model(), file, GgmlType[kind])
        with _engine(files.pop(REFERENCE)) as engine:
            expected = [list(_continued(engine, text, tokens)) for text in texts]
        files[AS_PUBLISHED] = packaged_model()
        return [_row(name, file, texts, expected) for name, file in files.items()]


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as text."""
    yield f"{'model':<20} {'MB':>6} {'same token':>14} {'in common':>10} {'KL, nats':>9}"
    for row in rows:
        share = f"{row.same_token} of {row.positions}"
        numbers = f"{row.common_tokens:>10.1f} {row.divergence:>9.4f}"
        yield f"{row.model:<20} {row.megabytes:>6.0f} {share:>14} {numbers}"


def divergence(reference: Distribution, other: Distribution) -> float:
    """The Kullback-Leibler divergence in nats, over the tokens of `reference` and all others as one.

    A token that `other` doesn't list counts as its least likely listed one, so the value is a lower bound.
    """
    least = min(other.values())
    known = {token: other.get(token, least) for token in reference}
    value = sum(math.exp(log) * (log - known[token]) for token, log in reference.items())
    rest, their_rest = (
        max(1 - sum(map(math.exp, logs)), 1e-9) for logs in (reference.values(), known.values())
    )
    return value + rest * math.log(rest / their_rest)


def _row(name: str, file: Path, texts: Sequence[str], expected: Sequence[Sequence[Distribution]]) -> Row:
    same: list[list[bool]] = []
    divergences: list[float] = []
    with _engine(file) as engine:
        for text, distributions in zip(texts, expected, strict=True):
            chosen = [_likeliest(one) for one in distributions]
            got = [_next(engine, text, chosen[:index]) for index in range(len(chosen))]
            same.append([_likeliest(one) == token for one, token in zip(got, chosen, strict=True)])
            divergences += map(divergence, distributions, got)
    return Row(
        model=name,
        megabytes=file.stat().st_size / 1e6,
        positions=sum(map(len, same)),
        same_token=sum(map(sum, same)),
        common_tokens=fmean(len(list(takewhile(bool, one))) for one in same),
        divergence=fmean(divergences),
    )


@contextmanager
def _engine(model: Path) -> Iterator[Any]:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx = 2048
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    engine = xllamacpp.Server(parameters)
    try:
        yield engine
    finally:
        del engine
        gc.collect()


def _continued(engine: Any, text: str, tokens: int) -> Iterator[Distribution]:
    """The engine's own greedy continuation, token by token as the others are asked for it."""
    chosen: list[int] = []
    for _ in range(tokens):
        distribution = _next(engine, text, chosen)
        chosen.append(_likeliest(distribution))
        yield distribution


def _next(engine: Any, text: str, tokens: Sequence[int]) -> Distribution:
    """What comes after the text and these tokens. The engine keeps what it computed for the beginning."""
    answer = engine.handle_completions(
        {
            "prompt": [text, *tokens] if tokens else text,
            "n_predict": 1,
            "n_probs": _PROBABILITIES,
            "temperature": 0,
            "cache_prompt": True,
        }
    )
    (position,) = answer["choices"][0]["logprobs"]["content"]
    return {one["id"]: one["logprob"] for one in position["top_logprobs"]}


def _likeliest(distribution: Distribution) -> int:
    return max(distribution, key=distribution.__getitem__)


if __name__ == "__main__":
    sys.exit(main())
