"""ExLlamaV2's decode steps as CUDA graphs: the host launches a step at once, not kernel by kernel.

A step of one token runs some ten kernels a layer, each of a few microseconds. From Python their launches
take longer than their work, so the host would hold the GPU back. The model's `forward_chunk` is replaced by
one that captures such a step when its size first comes up, and replays it from then on; all else stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from exllamav2 import ExLlamaV2, ExLlamaV2CacheBase, ExLlamaV2Config
from exllamav2.attn_params import PagedParams
from exllamav2.device import set_device_streams
from exllamav2.ext import exllamav2_ext
from exllamav2.linear import ExLlamaV2Linear

from quant_llm_exllama.graph_sizes import MOST_ROWS, TUNING_CALLS, captured_pages, captured_rows

_PAGE = 256  # tokens
_TUNED_ROWS = 4


def can_capture(config: ExLlamaV2Config, *, paged: bool, tensor_parallel: bool) -> bool:
    """Whether a step of the model does the same on each replay: a plain decoder, whole on the only GPU."""
    layers = config.arch.lm
    return (
        paged
        and not tensor_parallel
        and not config.no_graphs
        and torch.cuda.device_count() == 1
        and not layers.is_moe
        and not layers.parallel_decoder_blocks
        and not layers.residual_stream_fp32
        and not layers.keys["learned_pos_emb"]
        and not config.final_logit_softcapping
    )


def capture_decoding(model: ExLlamaV2, cache: ExLlamaV2CacheBase) -> None:
    """Replace `forward_chunk` of a loaded model, whose keys and values are in `cache`.

    The model must be loaded with `no_graphs`: its own graphs of a few kernels can't be part of another.
    """
    model.forward_chunk = _DecodeGraphs(model, cache).forward


class _DecodeGraphs:
    def __init__(self, model: ExLlamaV2, cache: ExLlamaV2CacheBase) -> None:
        self._model = model
        self._cache = cache
        self._eager: Callable[..., dict[str, torch.Tensor]] = model.forward_chunk
        self._steps: dict[tuple[int, int], _Step] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._failed = False

    def forward(
        self, input_ids: torch.Tensor, *, attn_params: PagedParams | None = None, **options: Any
    ) -> dict[str, torch.Tensor]:
        """As the model's own; the next step overwrites the logits."""
        if self._failed or attn_params is None or not _is_decode(input_ids, attn_params, options):
            return self._eager(input_ids, attn_params=attn_params, **options)
        set_device_streams()
        rows = captured_rows(len(input_ids))
        size = rows, captured_pages(attn_params.block_index.shape[1])
        if step := self._steps.get(size):
            return {"logits": step.replay(input_ids, attn_params)}
        try:
            step = _Step(self._model, self._cache, *size)
            logits = step.capture(input_ids, attn_params, self._pool)
        except RuntimeError as error:
            print(f"exllamav2: decoding without CUDA graphs: {error}", flush=True)
            self._failed = True
            return self._eager(input_ids, attn_params=attn_params, **options)
        self._steps[size] = step
        return {"logits": logits}


def _is_decode(input_ids: torch.Tensor, params: PagedParams, options: dict[str, Any]) -> bool:
    return (
        input_ids.shape[1] == 1
        and len(input_ids) <= MOST_ROWS
        and isinstance(params, PagedParams)
        and not params.alt_rope_embed
        and params.rope_offsets is None
        and not any(options.get(name) for name in ("preprocess_only", "loras", "indexed_embeddings"))
    )


class _Step:
    """A step of one size: buffers that stay where they are, and the graph over them.

    Rows too many repeat the last one, and write the same keys and values to the same place once more.
    """

    def __init__(self, model: ExLlamaV2, cache: ExLlamaV2CacheBase, rows: int, pages: int) -> None:
        self._model = model
        self._cache = cache
        self._rows = rows
        device = model.modules[-1].device()
        self._host_state = torch.zeros((rows, 1, model.config.hidden_size), dtype=torch.half, pin_memory=True)
        self._host_indices = torch.zeros(rows * (1 + pages), dtype=torch.int32, pin_memory=True)
        self._host_lengths = self._host_indices[:rows]
        self._host_tables = self._host_indices[rows:].view(rows, pages)
        self._state = self._host_state.to(device)
        self._indices = self._host_indices.to(device)
        self._params = PagedParams(
            batch_size=rows,
            block_index=self._host_tables,
            cache_seqlens=self._host_lengths,
            max_cache_seqlen=pages * _PAGE,
            page_size=_PAGE,
            q_len=1,
        )
        self._params.is_sequential = False  # where a step's keys go is in the tables, not in the graph
        self._params.cache_seqlens = self._indices[:rows]
        self._params.block_index = self._indices[rows:].view(rows, pages)
        self._graph = torch.cuda.CUDAGraph()
        self._logits = torch.empty(0)

    def capture(self, input_ids: torch.Tensor, params: PagedParams, pool: Any) -> torch.Tensor:
        """Logits of the step, which is run kernel by kernel and then captured in the memory of `pool`."""
        if self._rows <= _TUNED_ROWS:
            self._tune()
        self._fill(input_ids, params)
        logits = self._run()
        torch.cuda.synchronize()
        self._graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        try:
            self._logits = self._run()
        finally:
            self._graph.capture_end()
        return logits[: len(input_ids)]

    def replay(self, input_ids: torch.Tensor, params: PagedParams) -> torch.Tensor:
        """Logits of the step."""
        self._fill(input_ids, params)
        self._graph.replay()
        return self._logits[: len(input_ids)]

    def _fill(self, input_ids: torch.Tensor, params: PagedParams) -> None:
        """The host's buffers are free: a step ends when its logits have come back."""
        count, pages = params.block_index.shape
        last = count - 1
        self._host_state[:count] = self._model.modules[0].forward(input_ids)
        self._host_lengths[:count] = params.cache_seqlens
        self._host_tables[:count, :pages] = params.block_index
        for buffer in (self._host_state, self._host_lengths, self._host_tables):
            buffer[count:] = buffer[last]
        self._state.copy_(self._host_state, non_blocking=True)
        self._indices.copy_(self._host_indices, non_blocking=True)

    def _run(self) -> torch.Tensor:
        """The layers behind the embedding, and the head (ExLlamaV2.forward_chunk)."""
        state = self._state
        for module in self._model.modules[1:]:
            state = module.forward(state, cache=self._cache, attn_params=self._params, past_len=0)
        padding = self._model.modules[-1].padding
        if padding:
            state[:, :, -padding:] = -65504.0
        return state

    def _tune(self) -> None:
        """Let the quantised kernels settle their block sizes, for which they wait: a capture can't."""
        shapes = set()
        for module in _exl2_matrices(self._model):
            shape = module.in_features, module.out_features
            if shape in shapes:
                continue
            shapes.add(shape)
            inputs = torch.zeros((self._rows, shape[0]), dtype=torch.half, device=module.device())
            outputs = torch.empty((self._rows, shape[1]), dtype=torch.half, device=module.device())
            for _ in range(TUNING_CALLS):
                exllamav2_ext.gemm_half_q_half(inputs, module.q_handle, outputs, False)


def _exl2_matrices(model: ExLlamaV2) -> Iterator[ExLlamaV2Linear]:
    for module in model.modules_dict.values():
        if isinstance(module, ExLlamaV2Linear) and "q_weight" in (module.q_tensors or ()):
            yield module
