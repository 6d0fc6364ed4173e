"""Which kernels of exllamav3 are left out, and that what is left is as it was."""

from __future__ import annotations

import pytest

from benchmarks.gpu.exllamav3_subset import is_needed, without_kernels


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("exl3_comp_unit_4_cb2.cu", True),
        ("exl3_comp_unit_6_cb2.cu", True),
        ("exl3_comp_unit_4_cb0.cu", False),
        ("exl3_comp_unit_8_cb2.cu", False),
        ("exl3_comp_unit_h3.cu", False),
        ("exl3_gemv_int8_inst_coop_k4.cu", True),
        ("exl3_gemv_int8_inst_sq_k3.cu", False),
        ("exl3_gemv_half_inst.cu", False),
        ("exl3_moe_inst_k4_cb2.cu", False),
        ("quantize_tiles_inst_k6.cu", True),
        ("quantize_tiles_frac_inst.cu", False),
    ],
)
def test_a_dense_model_of_four_bits_needs_few_files(name: str, needed: bool) -> None:
    assert is_needed(name) is needed


def test_a_kernel_becomes_a_null_pointer_and_its_header_goes() -> None:
    source = (
        '#include "exl3_moe_inst_common.cuh"\n\n'
        "fp_exl3_moe_kernel exl3_moe_kernel_k4_n128_cb1() { return exl3_moe_kernel<4, 128, 1>; }\n"
    )
    assert without_kernels(source) == (
        '#include "exl3_moe_instances.cuh"\n\n'
        "fp_exl3_moe_kernel exl3_moe_kernel_k4_n128_cb1() { return nullptr; }\n"
    )


def test_a_table_of_kernels_keeps_its_names() -> None:
    source = '#include "../../util.cuh"\n#include "../exl3_gemm_kernel.cuh"\nEXL3_KERNEL_INSTANCES_CB(4, 0)\n'
    made = without_kernels(source)
    assert made.startswith('#include "../exl3_kernel_map.cuh"\n#undef EXL3_KERNEL_INSTANCES_CB\n')
    assert "fp_exl3_gemm_kernel tfp_exl3_gemm_kernel_fp32_b##K##_cb##cb[16] = {};" in made
    assert made.endswith("\nEXL3_KERNEL_INSTANCES_CB(4, 0)\n")
