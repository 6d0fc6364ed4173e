"""From the results of ExLlama's generators, which have the same form in both versions, to events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from quant_llm_exllama.backend import Event, Finish, Job, Logprob

_FINISH: Mapping[str, Finish] = {"max_new_tokens": "length"}  # any other end is the model's own


def event(job: Job, result: Mapping[str, Any]) -> Event | None:
    """What a result of the stage `streaming` brought the job, None for nothing yet.

    The generators hold tokens back while they are part of a character, and tell those before a stop token
    together with it, as `held`.
    """
    finish = _FINISH.get(result["eos_reason"], "stop") if result["eos"] else None
    pieces = [piece for piece in (result, result.get("held", {})) if "token_ids" in piece]
    tokens = [token for piece in pieces for token in piece["token_ids"][0].tolist()]
    if not tokens:
        return Event(job, (), finish=finish) if finish else None
    if job.top_logprobs is None:
        return Event(job, tokens, finish=finish)
    logits = torch.cat([piece["logits"] for piece in pieces], dim=1)
    return Event(job, tokens, _logprobs(logits, tokens, job.top_logprobs), finish)


def _logprobs(logits: torch.Tensor, tokens: Sequence[int], count: int) -> list[Logprob]:
    """Log probabilities of `tokens` and of the `count` likeliest; `logits` is (1, at least n, vocabulary)."""
    rows = torch.log_softmax(logits[0, : len(tokens)].float(), dim=-1)
    chosen = rows.gather(-1, torch.tensor(tokens, device=rows.device).unsqueeze(-1)).squeeze(-1).tolist()
    values, indices = rows.topk(count, dim=-1)
    tops = zip(indices.tolist(), values.tolist(), strict=True)
    return [
        Logprob(own, tuple(zip(ids, likeliest, strict=True)))
        for own, (ids, likeliest) in zip(chosen, tops, strict=True)
    ]
