"""Leave kernels out of exllamav3's sources: `python3 -m benchmarks.gpu.exllamav3_subset <exllamav3_ext>`.

Most of its 170 files are instances of the same kernels for other widths, codebooks and mixtures of experts.
A dense model of 4 bits with the converter's defaults runs none of them, and they take most of the time to
compile. What is left out becomes a null pointer where a kernel's address was; what is left is as published.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

WIDTHS = "456"  # 4 bits, what the budget lets it promote, and 6 for the head
CODEBOOK = "2"  # mul1, the default

_KERNEL = re.compile(
    r"\(void\*\) \w+_kernel<[^>]*>|\b(?:exl3_moe|quantize_tiles(?:_optimized|_frac)?)_kernel<[^>]*>"
)
_HEADERS = {  # of kernels, and of what names them
    "exl3_moe_inst_common.cuh": "exl3_moe_instances.cuh",
    "../exl3_gemm_kernel.cuh": "../exl3_kernel_map.cuh",
}
_OTHER_HEADERS = re.compile(r'^#include "\.\./(?!exl3_kernel_map).*\n', re.M)
_TABLES = {
    "EXL3_KERNEL_INSTANCES_CB(K, cb)": "b##K##_cb##cb",
    "EXL3_KERNEL_INSTANCES_H(K)": "h##K",
}
_EXPERTS = {
    "EXL3_MOE_COOP_INST_DEF(K)": ("k##K(int cb, int Hi, bool wide)", "k##K(int cb, bool wide)"),
    "EXL3_MOE_COOP_INST_DEF_H(K)": ("h##K(int Hi, bool wide)", "h##K(bool wide)"),
}


def is_needed(name: str) -> bool:
    """Whether a file of `quant/comp_units` has kernels that a dense model of 4 bits runs."""
    if "moe" in name or re.search(r"_h\d|_half_|_frac_", name):
        return False
    width = re.search(r"(?:_k|_unit_)(\d)", name)
    codebook = re.search(r"_cb(\d)", name)
    return (width is None or width[1] in WIDTHS) and (codebook is None or codebook[1] == CODEBOOK)


def without_kernels(source: str) -> str:
    """The source of a file with null pointers for its kernels."""
    for header, names in _HEADERS.items():
        source = source.replace(f'"{header}"', f'"{names}"')
    source = _OTHER_HEADERS.sub("", source)
    source = re.sub(r"^    SEL_GRID\(.*\n", "", source, flags=re.M)
    source = _KERNEL.sub("nullptr", source)
    for definition, body in _stubs().items():
        name = definition.partition("(")[0]
        source = re.sub(
            rf"^(?={name}\()", f"#undef {name}\n#define {definition} {body}\n", source, flags=re.M
        )
    return source


def _stubs() -> dict[str, str]:
    tables = {
        definition: " ".join(
            f"fp_exl3_{kind}_kernel tfp_exl3_{kind}_kernel_{number}_{suffix}[16] = {{}};"
            for kind in ("gemm", "mgemm")
            for number in ("fp32", "fp16")
        )
        for definition, suffix in _TABLES.items()
    }
    experts = {
        definition: f"MoeCoopKernel exl3_moe_coop_kernel_a_{first} {{ return {{nullptr, 0}}; }} "
        f"MoeCoopKernel exl3_moe_coop_kernel_b_{second} {{ return {{nullptr, 0}}; }}"
        for definition, (first, second) in _EXPERTS.items()
    }
    return tables | experts


def main() -> None:
    """Change the files of the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    units = sorted((parser.parse_args().sources / "quant" / "comp_units").glob("*.cu"))
    left_out = [file for file in units if not is_needed(file.name)]
    for file in left_out:
        file.write_text(without_kernels(file.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{len(left_out)} of {len(units)} files of instances left out")


if __name__ == "__main__":
    main()
