"""The life of the server: the routes at once, then the model, until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from quant_llm_exllama.backend import Backend, Event, Limits, Load
from quant_llm_exllama.chat_template import ChatTemplate
from quant_llm_exllama.generator import Generator
from quant_llm_exllama.preparation import Preparation
from quant_llm_exllama.service import Service
from quant_llm_exllama.tokenizer import Tokenizer
from quant_llm_serving.exllama_options import ExllamaOptions

_BACKLOG = 1024
_SWITCH_SECONDS = 0.0005
"""How long the generator's thread may keep Python to itself while the event loop waits. The default is 0.005,
as long as a whole token takes a fast GPU."""


async def serve(name: str, directory: Path, options: ExllamaOptions, socket: Path, load: Load) -> None:
    """Serve the model of `directory` until SIGTERM, which ends the process at once.

    Raises ModelError for a tokenizer or template that can't be read, and what `load` or the backend raises.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[Limits] = loop.create_future()
    failed: asyncio.Future[BaseException] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Without Python's own end: it would wait for threads that wait for the GPU.
        loop.add_signal_handler(number, os._exit, 0)
    tokenizer = Tokenizer(directory)
    service = Service(name, Preparation(name, tokenizer, ChatTemplate(directory, tokenizer)))
    server = await loop.create_unix_server(service.connection, str(socket), backlog=_BACKLOG)

    def on_ready(backend: Backend) -> None:
        loop.call_soon_threadsafe(ready.set_result, backend.limits)

    def on_events(events: list[Event]) -> None:
        loop.call_soon_threadsafe(service.deliver, events)

    def on_failure(error: BaseException) -> None:
        loop.call_soon_threadsafe(failed.set_result, error)

    generator = Generator(
        partial(load, directory, options), on_ready=on_ready, on_events=on_events, on_failure=on_failure
    )
    events: set[asyncio.Future[Any]] = {ready, failed}
    await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        service.ready(generator, ready.result())
    error = await failed
    server.close()
    raise error
