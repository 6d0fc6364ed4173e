"""The watch over the engine ends when it is told to, whatever the engine does at that moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from quant_llm_serving.health import Health, watch
from quant_llm_serving.log import Log
from quant_llm_serving.proxy import EngineAddress
from quant_llm_serving.routes import COMPLETIONS, Abilities


@pytest.mark.parametrize("turns", range(8))
def test_a_cancellation_that_comes_with_the_engines_answer_is_not_lost(tmp_path: Path, turns: int) -> None:
    async def run() -> None:
        engine = EngineAddress(tmp_path / "nobody-listens.sock", kept=1)
        abilities = Abilities(routes=frozenset({COMPLETIONS}), content_types=frozenset(), slots=1)
        watching = asyncio.create_task(watch(Health(), engine, abilities, 5, 60, Log()))
        for _ in range(turns):
            await asyncio.sleep(0)
        watching.cancel()
        await asyncio.wait([watching], timeout=1)
        ended = watching.done()
        watching.cancel()
        engine.close()
        assert ended

    asyncio.run(run())
