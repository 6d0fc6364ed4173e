"""What a backend does for the server: turn jobs of token ids into token ids, one step at a time.

A backend knows no text and no HTTP. Only the generator's thread calls it, after `Load` has made it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from llguidance import LLMatcher

from quant_llm_serving.exllama_options import ExllamaOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How a token is drawn. The defaults change nothing of what the model says."""

    temperature: float = 1.0  # 0: always the likeliest token
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Job:
    """One sequence to generate. `len(prompt) + max_tokens` is at most `Limits.context_length`.

    `top_logprobs` is how many alternatives to tell with each token's log probability; None: neither.
    `grammar` is the job's own: the backend masks tokens by it, and advances it by each that is drawn.
    """

    prompt: Sequence[int]
    max_tokens: int
    stop_tokens: frozenset[int]
    sampling: Sampling
    top_logprobs: int | None = None
    grammar: LLMatcher | None = None


@dataclass(frozen=True, slots=True)
class Logprob:
    """A token's natural log probability before temperature and truncation, and the likeliest tokens' own."""

    token: float
    top: tuple[tuple[int, float], ...]


Finish = Literal["stop", "length", "error"]


@dataclass(frozen=True, slots=True)
class Event:
    """What a step brought a job: tokens, and the end if it came. A stop token that ended it is the last one.

    `logprobs` has one for each token if the job asked for them, else none.
    """

    job: Job
    tokens: Sequence[int]
    logprobs: Sequence[Logprob] = ()
    finish: Finish | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """`context_length` is in tokens for each job, prompt and answer; `slots` is how many jobs run at once."""

    context_length: int
    slots: int


class Backend(Protocol):
    """A loaded model. An exception from any method means that it is of no use any more."""

    limits: Limits

    def start(self, job: Job) -> None:
        """Queue a job; it runs when there is a slot."""
        ...

    def cancel(self, job: Job) -> None:
        """Forget a job, if it has not finished yet. No event of it follows."""
        ...

    def step(self) -> list[Event]:
        """Generate the next token of each running job."""
        ...


Load = Callable[[Path, ExllamaOptions], Backend]
"""Loads the model of a folder. Raises a ServingError for what the person who deploys can mend."""
