"""`quantllm bench`: how fast an endpoint is, under how much load, and what its tokens cost."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant_llm.errors import QuantLlmError
from quant_llm_tools.number_arguments import at_least

if TYPE_CHECKING:
    from quant_llm_tools.bench.progress import Progress
    from quant_llm_tools.bench.results import Benchmark
    from quant_llm_tools.bench.run import Settings
    from quant_llm_tools.bench.subject import Subject

_DESCRIPTION = """
Measures an endpoint: 30 prompts in 5 rounds with one stream, then 1, 2, 4 … streams until more of them bring
no more, then arrivals at random. Greedy, with a fixed number of tokens, and each prompt new to the engine's
cache. Ctrl-C ends it and keeps what was measured.
"""
_INTERRUPTED_EXIT_CODE = 130


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench`."""
    parser = subparsers.add_parser(
        "bench", help="measure an endpoint's speed and cost", description=_DESCRIPTION
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        help="an endpoint's name, or the URL of an OpenAI-compatible server: http://localhost:8080/v1",
    )
    what.add_argument(
        "--local", action="store_true", help="start the container with a small model on this machine"
    )
    _add_load(parser)
    _add_subject(parser)
    parser.add_argument("--name", help="what to call the result; default: from the target")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the result, with every request")
    parser.add_argument("--json", action="store_true", help="print one line of JSON in place of the table")
    parser.set_defaults(run=run)


def _add_load(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("load")
    group.add_argument(
        "--quick", action="store_true", help="a minute's glance: 5 prompts, 1 round, 32 tokens, 4 streams"
    )
    group.add_argument("--chat", action="store_true", help="ask chats in place of completions")
    for option, kind, what in (
        ("--prompts", at_least(1), "how many prompts, from the first; default: 30, six of each length"),
        ("--rounds", at_least(1), "rounds of all prompts with one stream; default: 5"),
        ("--max-tokens", at_least(1), "output tokens of each answer; default: 128"),
        ("--seconds", _positive, "how long each load begins new requests; default: 30"),
        ("--max-streams", at_least(1), "most streams at once; default: 64"),
        ("--seed", at_least(1), "of sampling and of arrivals; default: 1"),
    ):
        group.add_argument(option, type=kind, metavar="N", help=what)
    group.add_argument(
        "--rate",
        type=_positive,
        action="append",
        metavar="R",
        help="an open loop's arrivals a second, repeatable; default: 0.5 and 0.8 of the most served",
    )
    group.add_argument(
        "--timeout", type=_positive, default=480.0, metavar="S", help="seconds for an answer; default: 480"
    )


def _add_subject(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is measured")
    group.add_argument("--inference-component", metavar="NAME", help="the endpoint's component to ask")
    group.add_argument("--region", help="the endpoint's region, and the price's")
    group.add_argument("--instance-type", metavar="TYPE", help="what serves a URL, for the price")
    group.add_argument("--usd-per-hour", type=_positive, metavar="USD", help="the price of an instance")
    group.add_argument("--model", help="the model's name at a URL; default: the first that the server tells")
    group.add_argument("--api-key-env", metavar="NAME", help="the variable that holds the key for a URL")


def run(arguments: argparse.Namespace) -> int:
    """Measure, write and print; returns the exit code."""
    from quant_llm_tools.bench.progress import Terminal
    from quant_llm_tools.bench.run import measure
    from quant_llm_tools.bench.text import text

    output: Path | None = arguments.output
    if output is not None and not output.parent.is_dir():
        raise QuantLlmError(f"--output: there is no folder {output.parent}")
    progress = Terminal()
    with _subject(arguments, progress) as subject:
        benchmark = asyncio.run(
            measure(subject, _settings(arguments), progress, time.perf_counter, arguments.name)
        )
    if output is not None:
        benchmark.write(output)
    print(json.dumps(line(benchmark)) if arguments.json else text(benchmark))
    return 0 if benchmark.complete else _INTERRUPTED_EXIT_CODE


def line(benchmark: Benchmark) -> dict[str, Any]:
    """What `--json` prints: of one stream, and of the load with the most tokens a second; null is unknown.

    `errors` are those of all loads; the cost is that of the load with the most tokens a second.
    """
    article = benchmark.article
    best = benchmark.best or article
    first_token = article.summary.first_token_ms if article else None
    points = [*filter(None, (article,)), *benchmark.sweep]
    return {
        "name": benchmark.name,
        "complete": benchmark.complete,
        "tokens_per_s": _rounded(article.summary.tokens_per_s_stream if article else None),
        "ttft_ms_p50": _rounded(first_token.p50 if first_token else None),
        "errors": sum(point.summary.error_count for point in points),
        "usd_per_million_output_tokens": _rounded(
            best.summary.usd_per_million_output_tokens if best else None
        ),
        "best_tokens_per_s": _rounded(best.summary.tokens_per_s if best else None),
        "best_streams": best.concurrency if best else None,
        "price": benchmark.price.model_dump() if benchmark.price else None,
        "warnings": list(benchmark.warnings),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _settings(arguments: argparse.Namespace) -> Settings:
    import dataclasses

    from quant_llm_tools.bench.run import QUICK, Settings

    given = {
        "prompts": arguments.prompts,
        "rounds": arguments.rounds,
        "max_tokens": arguments.max_tokens,
        "seconds": arguments.seconds,
        "most_streams": arguments.max_streams,
        "seed": arguments.seed,
        "arrivals_per_s": tuple(arguments.rate or ()),
    }
    return dataclasses.replace(
        QUICK if arguments.quick else Settings(),
        route="chat" if arguments.chat else "completions",
        **{name: value for name, value in given.items() if value is not None},
    )


@contextmanager
def _subject(arguments: argparse.Namespace, progress: Progress) -> Iterator[Subject]:
    from quant_llm_tools.bench.subject import Wishes, at_sagemaker, at_url, on_this_machine

    wishes = Wishes(
        route="chat" if arguments.chat else "completions",
        timeout_s=arguments.timeout,
        clock=time.perf_counter,
        region=arguments.region,
        instance_type=arguments.instance_type,
        usd_per_hour=arguments.usd_per_hour,
        inference_component=arguments.inference_component,
        model=arguments.model,
        api_key_env=arguments.api_key_env,
    )
    if arguments.local:
        with on_this_machine(wishes, progress) as subject:
            yield subject
    elif "://" in arguments.target:
        yield at_url(arguments.target, wishes)
    else:
        yield at_sagemaker(arguments.target, wishes)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return value
