"""What the first requests wait for: `python3 -m benchmarks.gpu.first_requests <model> <results>`.

The ExLlama container is started with an empty cache of compiled Triton kernels, as a new instance has it, and
asked by more and more callers at once, three times over: what a number costs the first time and not again.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu.machine import gpu_machine
from benchmarks.gpu.serving import EXLLAMAV2, options, serving
from benchmarks.gpu.throughput import run

STREAMS = (1, 2, 3, 4, 6, 8, 12, 16)
TURNS = 3
_TOKENS = 16


async def measured(port: int) -> list[dict[str, Any]]:
    """A row for each turn and number of streams."""
    connect = functools.partial(asyncio.open_connection, "127.0.0.1", port)
    rows: list[dict[str, Any]] = []
    offset = 0
    for turn in range(1, TURNS + 1):
        for streams in STREAMS:
            numbers = await run(connect, streams, _TOKENS, offset)
            offset += streams
            rounded = {key: round(value, 1) for key, value in numbers.items()}
            rows.append({"turn": turn, "streams": streams, **rounded})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Measure the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("results", type=Path)
    arguments = parser.parse_args()
    variables = options(EXLLAMAV2, context=512, concurrency=max(STREAMS))
    with tempfile.TemporaryDirectory() as kernels:
        started = time.perf_counter()
        with serving(EXLLAMAV2, arguments.model, {**variables, "TRITON_CACHE_DIR": kernels}) as running:
            load = round(time.perf_counter() - started, 1)
            rows = asyncio.run(measured(running.container.port))
    results = {
        "machine": gpu_machine(),
        "model": arguments.model.name,
        "tokens_each": _TOKENS,
        "load_seconds": load,
        "rows": rows,
    }
    arguments.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
