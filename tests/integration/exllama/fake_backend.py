"""A FAKE of an ExLlama generator, for machines without a GPU. It has no model: it says the prompt again.

- Greedy, it repeats the prompt without its special tokens, and then stops; without stop tokens it goes on.
- With a temperature it draws from the prompt's tokens, by the seed.
- With a grammar it takes what ends the JSON soonest.
- A prompt that ends with `FAKE-ERROR` fails, and one with `FAKE-CRASH` ends the generator.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

from quant_llm_exllama.backend import Event, Finish, Job, Limits, Logprob
from quant_llm_serving.exllama_options import ExllamaOptions
from tests.integration.exllama.model_files import byte_tokenizer

_TOKENIZER = byte_tokenizer()
_PREFERRED = tuple(_TOKENIZER.encode(character, add_special_tokens=False).ids[0] for character in '"}],:1{[')
_BYTES = 256


class FakeBackend:
    """Runs as many jobs at once as there are slots, a token of each at every step."""

    def __init__(self, directory: Path, options: ExllamaOptions) -> None:
        time.sleep(float(os.environ.get("FAKE_LOAD_SECONDS", "0")))
        trained = int(json.loads((directory / "config.json").read_text())["max_position_embeddings"])
        self.limits = Limits(context_length=options.context_for(trained), slots=options.max_batch_size)
        self._step_seconds = float(os.environ.get("FAKE_STEP_SECONDS", "0"))
        self._quick_steps = int(os.environ.get("FAKE_FIRST_STEPS", "0"))
        self._jobs: dict[Job, _Running] = {}

    def start(self, job: Job) -> None:
        assert len(job.prompt) + job.max_tokens <= self.limits.context_length
        self._jobs[job] = _Running(job)

    def cancel(self, job: Job) -> None:
        self._jobs.pop(job, None)

    def step(self) -> list[Event]:
        if self._quick_steps:
            self._quick_steps -= 1
        else:
            time.sleep(self._step_seconds)
        events = [running.step() for running in list(self._jobs.values())[: self.limits.slots]]
        for event in events:
            if event.finish:
                del self._jobs[event.job]
        return events


class _Running:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._said = 0
        self._echo = [token for token in job.prompt if token < _BYTES] or [0]
        self._random = random.Random(job.sampling.seed)  # noqa: S311 - tokens, no secrets
        text = _TOKENIZER.decode(list(job.prompt[-100:]))
        self._fails = "FAKE-ERROR" in text
        self._crashes = "FAKE-CRASH" in text

    def step(self) -> Event:
        if self._crashes:
            raise RuntimeError("the fake GPU has fallen off the bus")
        if self._fails:
            return Event(self._job, (), finish="error")
        token = self._next()
        self._said += 1
        finish: Finish | None = None
        if token in self._job.stop_tokens:
            finish = "stop"
        elif self._said == self._job.max_tokens:
            finish = "length"
        count = self._job.top_logprobs
        if count is None:
            return Event(self._job, [token], finish=finish)
        top = tuple(((token + n) % _BYTES, -0.5 - n) for n in range(count))
        return Event(self._job, [token], [Logprob(-0.5, top)], finish)

    def _next(self) -> int:
        stop = min(self._job.stop_tokens, default=None)
        if self._job.grammar is not None:
            mask = self._job.grammar.compute_bitmask()
            allowed = {token for token in range(len(mask) * 8) if mask[token >> 3] >> (token & 7) & 1}
            choices = (stop, *_PREFERRED, *sorted(allowed))
            token = next(token for token in choices if token in allowed and token is not None)
            assert self._job.grammar.consume_token(token)
            return token
        if stop is not None and self._said >= len(self._echo):
            return stop
        if self._job.sampling.temperature > 0:
            return self._random.choice(self._echo)
        return self._echo[self._said % len(self._echo)]
