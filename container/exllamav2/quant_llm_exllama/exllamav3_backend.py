"""ExLlamaV3 (1.6): models in EXL3. It pages with kernels of its own, and samples on the GPU."""

from __future__ import annotations

from pathlib import Path

import torch
from exllamav3 import (
    Cache,
    CacheLayer_fp16,
    CacheLayer_quant,
    ComboSampler,
    Config,
    Filter,
    Generator,
    Model,
    Tokenizer,
)
from exllamav3 import Job as GeneratorJob
from llguidance import LLMatcher

from quant_llm_exllama.backend import Event, Job, Limits, Sampling
from quant_llm_exllama.results import event
from quant_llm_serving.exllama_options import CacheMode, ExllamaOptions, cache_tokens

_CACHE_BITS: dict[CacheMode, int] = {"Q8": 8, "Q6": 6, "Q4": 4}


class ExLlamaV3Backend:
    """A model in GPU memory. It must be made and used by one thread."""

    def __init__(self, directory: Path, options: ExllamaOptions) -> None:
        """Load the model of `directory`."""
        config = Config.from_directory(str(directory))
        context_length = options.context_for(config.max_position_embeddings)
        self.limits = Limits(context_length=context_length, slots=options.max_batch_size)
        model = Model.from_config(config)
        bits = _CACHE_BITS.get(options.cache_mode)
        kind = {"layer_type": CacheLayer_fp16}
        if bits is not None:
            kind = {"layer_type": CacheLayer_quant, "k_bits": bits, "v_bits": bits}
        tokens = cache_tokens(context_length, self.limits.slots)
        cache = Cache(model, max_num_tokens=tokens, max_batch_size=self.limits.slots, **kind)
        model.load(
            use_per_device=None if options.gpu_split is None else list(options.gpu_split),
            tensor_p=options.tensor_parallel,
            max_chunk_size=options.chunk_size,
            max_batch_size=self.limits.slots,
        )
        self._tokenizer = Tokenizer.from_config(config)
        self._generator = Generator(
            model=model,
            cache=cache,
            tokenizer=self._tokenizer,
            max_batch_size=self.limits.slots,
            max_chunk_size=options.chunk_size,
        )
        self._jobs: dict[Job, GeneratorJob] = {}

    def start(self, job: Job) -> None:
        """Queue a job."""
        running = GeneratorJob(
            input_ids=torch.tensor([job.prompt], dtype=torch.long),
            max_new_tokens=job.max_tokens,
            seed=job.sampling.seed,
            stop_conditions=list(job.stop_tokens),
            sampler=_sampler(job.sampling),
            return_logits=job.top_logprobs is not None,
            filters=[] if job.grammar is None else [_Grammar(self._tokenizer, job.grammar)],
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
            job = result["job"].identifier
            if result["stage"] == "error":
                print(f"exllamav3: a request failed: {result['error']!r}", flush=True)
                del self._jobs[job]
                events.append(Event(job, (), finish="error"))
            elif result["stage"] == "streaming":
                if result["eos"]:
                    del self._jobs[job]
                if made := event(job, result):
                    events.append(made)
        return events


def _sampler(sampling: Sampling) -> ComboSampler:
    return ComboSampler(
        rep_p=sampling.repetition_penalty,
        freq_p=sampling.frequency_penalty,
        pres_p=sampling.presence_penalty,
        temperature=sampling.temperature,
        min_p=sampling.min_p,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
    )


class _Grammar(Filter):
    """llguidance's mask as a filter. ExLlamaV3's own would make a second copy of the vocabulary."""

    def __init__(self, tokenizer: Tokenizer, matcher: LLMatcher) -> None:
        super().__init__(tokenizer, trigger_token=None, prefix_str=None, eos_after_completed=True)
        self._matcher = matcher

    def reset(self) -> None:
        self._matcher.reset()

    def accept_token(self, token: int) -> None:
        self._matcher.consume_token(token)

    def is_completed(self) -> bool:
        return bool(self._matcher.is_stopped())

    def get_next_logit_mask(self) -> torch.Tensor:
        """One bit a token, 32 to a word: the form that the sampler takes as it is."""
        return torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.int32).unsqueeze(0)
