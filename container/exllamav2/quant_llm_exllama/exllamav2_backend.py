"""ExLlamaV2 (0.3): models in EXL2 and GPTQ, on its dynamic generator.

With flash-attn 2.5.7 or newer the generator is paged: jobs run in one batch, and share the cache's pages of a
prompt that they have in common. Without it one job runs at a time, and the others wait in its queue.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from exllamav2 import (
    ExLlamaV2,
    ExLlamaV2Cache,
    ExLlamaV2Cache_Q4,
    ExLlamaV2Cache_Q6,
    ExLlamaV2Cache_Q8,
    ExLlamaV2Cache_TP,
    ExLlamaV2CacheBase,
    ExLlamaV2Config,
    ExLlamaV2Tokenizer,
)
from exllamav2.attn import has_flash_attn_with_paged
from exllamav2.ext import none_tensor
from exllamav2.generator import ExLlamaV2DynamicGenerator, ExLlamaV2DynamicJob, ExLlamaV2Sampler
from exllamav2.generator.filters import ExLlamaV2Filter
from llguidance import LLMatcher

from quant_llm_exllama.backend import Event, Job, Limits, Sampling
from quant_llm_exllama.decode_graphs import can_capture, capture_decoding
from quant_llm_exllama.results import event
from quant_llm_exllama.rope import rope_attributes
from quant_llm_exllama.tokenizer import read_json
from quant_llm_serving.exllama_options import CacheMode, ExllamaOptions, cache_tokens

_CACHES: dict[CacheMode, type] = {
    "FP16": ExLlamaV2Cache,
    "Q8": ExLlamaV2Cache_Q8,
    "Q6": ExLlamaV2Cache_Q6,
    "Q4": ExLlamaV2Cache_Q4,
}
_CERTAIN = torch.ones((1, 1))


class ExLlamaV2Backend:
    """A model in GPU memory. It must be made and used by one thread: its CUDA streams are the thread's."""

    def __init__(self, directory: Path, options: ExllamaOptions) -> None:
        """Load the model of `directory`."""
        config = ExLlamaV2Config(str(directory))
        for name, value in rope_attributes(read_json(directory / "config.json")).items():
            setattr(config, name, value)
        config.arch_compat_overrides()
        context_length = options.context_for(config.max_seq_len)
        paged = has_flash_attn_with_paged and not config.no_flash_attn
        self.limits = Limits(context_length=context_length, slots=options.max_batch_size if paged else 1)
        config.max_seq_len = cache_tokens(context_length, 1)
        chunk_size = min(options.chunk_size, config.max_seq_len)
        config.max_input_len = chunk_size
        config.max_attention_size = chunk_size**2
        captured = can_capture(config, paged=paged, tensor_parallel=options.tensor_parallel)
        config.no_graphs = config.no_graphs or captured
        self._model = ExLlamaV2(config)
        self._tokenizer = ExLlamaV2Tokenizer(config)
        self._jobs: dict[Job, ExLlamaV2DynamicJob] = {}
        cache = _load(self._model, options, cache_tokens(context_length, self.limits.slots))
        if captured:
            capture_decoding(self._model, cache)
        self._generator = ExLlamaV2DynamicGenerator(
            model=self._model,
            cache=cache,
            tokenizer=self._tokenizer,
            max_batch_size=self.limits.slots,
            max_chunk_size=chunk_size,
            max_q_size=1,  # one token a step: nothing is drafted
            paged=paged,
        )
        if not paged:
            print(
                "exllamav2: flash-attn 2.5.7 is missing or off for this model: one request at a time",
                flush=True,
            )

    def start(self, job: Job) -> None:
        """Queue a job."""
        filters = [] if job.grammar is None else [_Grammar(self._model, self._tokenizer, job.grammar)]
        kind = _GreedyJob if _is_greedy(job) else ExLlamaV2DynamicJob
        running = kind(
            input_ids=torch.tensor([job.prompt], dtype=torch.long),
            max_new_tokens=job.max_tokens,
            seed=job.sampling.seed,
            stop_conditions=list(job.stop_tokens),
            gen_settings=_settings(job.sampling),
            return_logits=job.top_logprobs is not None,
            filters=filters,
            identifier=job,
        )
        self._jobs[job] = running
        self._generator.enqueue(running)

    def cancel(self, job: Job) -> None:
        """Forget a job."""
        running = self._jobs.pop(job, None)
        if running is not None:
            self._generator.cancel(running)

    def step(self) -> list[Event]:
        """The next token of each running job, or a piece of a prompt read."""
        events = []
        for result in self._generator.iterate():
            if result["stage"] == "streaming":
                job = result["identifier"]
                if result["eos"]:
                    del self._jobs[job]
                if made := event(job, result):
                    events.append(made)
        return events


def _load(model: ExLlamaV2, options: ExllamaOptions, tokens: int) -> ExLlamaV2CacheBase:
    """Load the weights, and make a cache of `tokens` on the same GPUs."""
    kind = _CACHES[options.cache_mode]
    split = None if options.gpu_split is None else list(options.gpu_split)
    if options.tensor_parallel:
        model.load_tp(split, expect_cache_tokens=tokens, expect_cache_base=kind)
        return ExLlamaV2Cache_TP(model, base=kind, max_seq_len=tokens)
    if split is not None:
        model.load(split)
        return kind(model, max_seq_len=tokens)
    cache = kind(model, max_seq_len=tokens, lazy=True)
    model.load_autosplit(cache)
    return cache


def _settings(sampling: Sampling) -> ExLlamaV2Sampler.Settings:
    greedy = sampling.temperature == 0
    return ExLlamaV2Sampler.Settings(
        token_repetition_penalty=sampling.repetition_penalty,
        token_frequency_penalty=sampling.frequency_penalty,
        token_presence_penalty=sampling.presence_penalty,
        temperature=1.0 if greedy else sampling.temperature,
        top_k=1 if greedy else sampling.top_k,
        top_p=0.0 if greedy else sampling.top_p,
        min_p=0.0 if greedy else sampling.min_p,
    )


def _is_greedy(job: Job) -> bool:
    """Whether the job's tokens are the likeliest ones, whatever it has said before."""
    drawn = job.sampling
    return (
        drawn.temperature == 0
        and drawn.repetition_penalty == 1.0
        and drawn.frequency_penalty == 0.0
        and drawn.presence_penalty == 0.0
        and job.grammar is None
    )


class _GreedyJob(ExLlamaV2DynamicJob):
    """Takes the likeliest token as it is. ExLlamaV2 would compute and sort the probabilities of all first."""

    def receive_logits(
        self, logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, bool]:
        """The token, nothing of others, its probability, and that no filter has ended."""
        known = logits[0, 0, : self.generator.tokenizer.get_vocab_size()].numpy()  # whose argmax is faster
        return torch.tensor([[known.argmax()]]), none_tensor, none_tensor, _CERTAIN, False


class _Grammar(ExLlamaV2Filter):
    """llguidance's mask over the logits, computed while the GPU works on the next ones."""

    def __init__(self, model: ExLlamaV2, tokenizer: ExLlamaV2Tokenizer, matcher: LLMatcher) -> None:
        super().__init__(model, tokenizer)
        self._matcher = matcher
        self._refused = torch.empty(0, dtype=torch.bool)

    def begin(self, prefix_str: str) -> None:
        """The job's first token is next, and the matcher is new."""

    def feed(self, token: torch.Tensor) -> None:
        """A token was drawn."""
        self._matcher.consume_token(token.item())

    def use_background_worker(self) -> bool:
        return True

    def can_mask_logits(self) -> bool:
        return True

    def prepare_logit_mask(self) -> bool:
        """Compute the next mask, of one bit a token. True: `mask_logits` can be called."""
        allowed = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        self._refused = torch.from_numpy(allowed == 0)
        return True

    def mask_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """A copy with all that is refused at minus infinity, so that the job's log probabilities stay true.

        The logits are padded, and so is the mask: what the longer has over the other are no tokens.
        """
        count = min(len(self._refused), len(logits))
        masked = torch.full_like(logits, -torch.inf)
        masked[:count] = logits[:count].masked_fill(self._refused[:count], -torch.inf)
        return masked
