"""Builds the part of flash-attn that ExLlamaV2 uses.

    python3 flash_attention.py SOURCE TARGET WORK

flash-attn has no wheel on PyPI, and all of it takes hours to compile. ExLlamaV2 needs its forward pass in
FP16 alone, so this leaves out training, BF16, dropout, ALiBi and the head sizes that no model here has: four
files of kernels for each head size, 16 instead of 72. The package that it writes has flash-attn's own Python
interface and licences. TORCH_CUDA_ARCH_LIST says for which GPUs, MAX_JOBS how many compilers run at once.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

HEAD_SIZES = (64, 96, 128, 256)
"""What is built: smaller sizes and those between run in the next larger one's kernels."""

_SOURCES = Path("csrc/flash_attn")
_FLAGS = [
    "-O3",
    "-std=c++17",
    *(f"-U__CUDA_NO_{name}__" for name in ("HALF_OPERATORS", "HALF_CONVERSIONS", "HALF2_OPERATORS")),
    "-U__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "--expt-relaxed-constexpr",
    "--expt-extended-lambda",
    "--use_fast_math",
    *(f"-DFLASHATTENTION_DISABLE_{name}" for name in ("BACKWARD", "DROPOUT", "ALIBI")),
]


def build(source: Path, target: Path, work: Path, head_sizes: Sequence[int]) -> None:
    """Compile `source`, flash-attn's unpacked sdist, for `head_sizes` into the Python path entry `target`.

    `work` is a folder for the sources as they are compiled; what it held is removed.
    """
    # Only here: the cuts below are tested on machines without torch.
    from torch.utils.cpp_extension import load

    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source / _SOURCES, work)
    interface = work / "flash_api.cpp"
    interface.write_text(without_backward(interface.read_text(encoding="utf-8")), encoding="utf-8")
    switches = work / "src" / "static_switch.h"
    switches.write_text(only(switches.read_text(encoding="utf-8"), head_sizes), encoding="utf-8")
    kernels = [
        work / "src" / f"flash_fwd_{split}hdim{size}_fp16_{causal}sm80.cu"
        for size in head_sizes
        for split in ("", "split_")
        for causal in ("", "causal_")
    ]
    target.mkdir(parents=True, exist_ok=True)
    load(
        name="flash_attn_2_cuda",
        sources=[str(file) for file in (interface, *kernels)],
        extra_cflags=["-O3", "-std=c++17"],
        extra_cuda_cflags=_FLAGS,
        extra_include_paths=[str(path) for path in (work, work / "src", source / "csrc/cutlass/include")],
        build_directory=str(work),
        is_python_module=False,
        verbose=True,
    )
    shutil.copy(work / "flash_attn_2_cuda.so", target)
    package = target / "flash_attn"
    package.mkdir(exist_ok=True)
    for file in ("flash_attn/__init__.py", "flash_attn/flash_attn_interface.py", "LICENSE", "AUTHORS"):
        shutil.copy(source / file, package)


def without_backward(interface: str) -> str:
    """flash-attn's C++ interface without the functions for training, whose kernels are not compiled."""
    functions = re.compile(
        r"^void run_mha_bwd\(.*?(?=^std::vector<at::Tensor>\nmha_fwd_kvcache\()", re.M | re.S
    )
    bindings = re.compile(r'^ *m\.def\("(varlen_)?bwd".*\n', re.M)
    shorter, removed = functions.subn("", interface)
    shorter, unbound = bindings.subn("", shorter)
    if (removed, unbound) != (1, 2):
        raise ValueError(f"flash_api.cpp is not as expected: cut {removed} of 1 and {unbound} of 2 places")
    return shorter


def only(switches: str, head_sizes: Sequence[int]) -> str:
    """flash-attn's choice of kernels at run time, for FP16 and `head_sizes` alone."""
    sizes = " else ".join(
        f"if (HEADDIM <= {size}) {{ constexpr static int kHeadDim = {size}; return __VA_ARGS__(); }}"
        for size in sorted(head_sizes)
    )
    start = switches.index("#define FP16_SWITCH")
    return (
        switches[:start]
        + "#define FP16_SWITCH(COND, ...) "
        + "[&] { using elem_type = cutlass::half_t; return __VA_ARGS__(); }()\n"
        + f"#define HEADDIM_SWITCH(HEADDIM, ...) [&] {{ {sizes} }}()\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--head-sizes", type=int, nargs="+", default=HEAD_SIZES)
    arguments = parser.parse_args()
    build(arguments.source, arguments.target, arguments.work, arguments.head_sizes)
