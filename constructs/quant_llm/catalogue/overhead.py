"""GPU memory that an engine takes beside weights and KV cache, from how its source allocates it.

Each constant is in one place, `OVERHEADS`, and is fitted to what was measured (docs/sizing.md); vLLM's and
TGI's are not measured. Everything is rounded up: a model that is said to fit must fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quant_llm.agency import Engine, ModelShape
from quant_llm.catalogue.kv_cache import padded_context, unpacked_layer_bytes
from quant_llm.catalogue.workload import Workload, option_number

_MIB = 1024**2
_FLOAT, _HALF = 4, 2
_EXLLAMA_REQUEST = 6 * _MIB  # measured: benchmarks/results/gpu-table.json
_PIPELINE_COPIES = 4
"""Copies of a graph's inputs when llama.cpp runs over several GPUs (GGML_SCHED_MAX_COPIES)."""


@dataclass(frozen=True)
class EngineOverhead:
    """`fixed_mib` on each GPU: the CUDA context, the engine's code, libraries and their workspaces.

    `buffers` gives the bytes of the compute buffers, which `buffer_factor` scales to what was measured.
    """

    fixed_mib: int
    buffer_factor: float
    buffers: Callable[[Workload, int], int]


def overhead_bytes(workload: Workload, gpu_count: int) -> int:
    """Bytes on each of `gpu_count` GPUs beside weights and KV cache."""
    engine = OVERHEADS[workload.engine]
    buffers = engine.buffers(workload, gpu_count) + unpacked_layer_bytes(workload)
    return math.ceil(engine.fixed_mib * _MIB + engine.buffer_factor * buffers)


def feed_forward_size(shape: ModelShape) -> int:
    """Width of the feed-forward layers, which the lock doesn't have: from the parameters, rounded up.

    A layer has attention (queries and output: embedding x heads x head size each; keys and values:
    embedding x KV heads x head size each) and a gated feed-forward part of three matrices, embedding x width.
    A mixture of experts has many of these; its width is taken as 8 embeddings at most.
    """
    embedding = shape.embedding_size
    attention = 2 * embedding * shape.head_size * (shape.attention_heads + shape.key_value_heads)
    layer = (shape.parameters - shape.vocabulary_size * embedding) / shape.layers
    width = math.ceil((layer - attention) / (3 * embedding))
    return min(max(width, embedding), 8 * embedding)


def _llama_cpp(workload: Workload, gpu_count: int) -> int:
    """The compute buffer for the largest batch (llama_context::sched_reserve in src/llama-context.cpp).

    It is reserved for `ubatch` tokens and holds, in 32 bits, either the feed-forward part of a layer (three
    activations of its width) or the logits of one token for each request, whichever is more, and beside
    them five hidden states a token. The mask of the attention has a half for each token of the batch and of
    one request's context (build_attn_inp_kq_mask). llama.cpp's own log of the buffer agrees to the byte.
    """
    shape = workload.shape
    tokens = min(
        int(option_number(workload.options, "LLAMA_ARG_UBATCH", 512)),
        workload.context_length * workload.concurrency,
    )
    inner = tokens * 3 * feed_forward_size(shape)
    output = workload.concurrency * shape.vocabulary_size
    hidden = tokens * shape.embedding_size
    mask = padded_context(workload) * tokens * _HALF
    copies = _PIPELINE_COPIES if gpu_count > 1 else 1
    return _FLOAT * (max(inner, output) + 5 * hidden) + copies * mask + (copies - 1) * hidden * _FLOAT


def _exllamav2(workload: Workload, gpu_count: int) -> int:
    """The scratch space and the temporary tensors of a chunk of the prompt (exllamav2/mlp.py, linear.py).

    Scratch: a state and two feed-forward activations of `chunk` tokens in 16 bits, and the largest matrix
    unpacked to 16 bits (at most 2^29 numbers, config.max_dq_size). Beside it the hidden states, queries, keys
    and values of the chunk, and the logits of one token a request in 32 bits. A captured step of decoding
    (quant_llm_exllama/decode_graphs.py) and the batch have a few MiB for each request.
    """
    del gpu_count
    shape = workload.shape
    chunk = min(int(option_number(workload.options, "EXLLAMA_CHUNK_SIZE", 2048)), padded_context(workload))
    width = max(feed_forward_size(shape), shape.embedding_size)
    heads = shape.head_size * (shape.attention_heads + 2 * shape.key_value_heads)
    unpacked = min(max(width, shape.vocabulary_size) * shape.embedding_size, 512 * _MIB)
    scratch = chunk * (shape.embedding_size + 2 * width) + unpacked
    states = chunk * (2 * shape.embedding_size + heads)
    requests = workload.concurrency * (_FLOAT * shape.vocabulary_size + _EXLLAMA_REQUEST)
    return _HALF * (scratch + states) + requests


def _vllm(workload: Workload, gpu_count: int) -> int:
    """The peak that vLLM finds in its run at start-up: one step's activations, and the requests' logits.

    A step has 2,048 tokens by default in LMI, which makes vLLM's engine by itself (vllm/config/scheduler.py,
    DEFAULT_MAX_NUM_BATCHED_TOKENS); LMI has a name of its own for it and takes vLLM's as well.
    """
    options = workload.options
    step = option_number(options, "OPTION_MAX_NUM_BATCHED_TOKENS", 2048)
    step = option_number(options, "OPTION_MAX_ROLLING_BATCH_PREFILL_TOKENS", step)
    return _step(workload, int(step), gpu_count)


def _tgi(workload: Workload, gpu_count: int) -> int:
    """The peak of TGI's warm-up with the largest batch: `MAX_BATCH_PREFILL_TOKENS`, and the requests' logits.

    Without that option TGI takes what suits the GPU, 4,096 where it can't tell, and less where memory is
    short (launcher/src/main.rs, compute_optimal and vram_maximum).
    """
    step = option_number(workload.options, "MAX_BATCH_PREFILL_TOKENS", 4096)
    return _step(workload, int(step), gpu_count)


def _step(workload: Workload, tokens: int, gpu_count: int) -> int:
    """Activations of so many tokens: the feed-forward part is spread over the GPUs, hidden states are not."""
    shape = workload.shape
    activations = tokens * (2 * feed_forward_size(shape) / gpu_count + 4 * shape.embedding_size) * _HALF
    return math.ceil(activations) + _FLOAT * max(256, workload.concurrency) * shape.vocabulary_size


OVERHEADS: Mapping[Engine, EngineOverhead] = {
    "llama.cpp": EngineOverhead(fixed_mib=640, buffer_factor=1.1, buffers=_llama_cpp),
    "exllamav2": EngineOverhead(fixed_mib=1152, buffer_factor=1.1, buffers=_exllamav2),
    "vllm": EngineOverhead(fixed_mib=640, buffer_factor=1.0, buffers=_vllm),
    "tgi": EngineOverhead(fixed_mib=640, buffer_factor=1.0, buffers=_tgi),
}
