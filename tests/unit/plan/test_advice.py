"""The advice says what was measured and no more, at the sizes where it was measured."""

from __future__ import annotations

import pytest

from quant_llm_tools.lock.gguf_types import FILE_TYPES
from quant_llm_tools.plan.advice import advice, nominal_bits


@pytest.mark.parametrize(
    ("parameters", "without_loss", "with_some_loss"),
    [
        (135_000_000, 8, None),
        (8_030_000_000, 8, 4),
        (34_000_000_000, 8, 4),
        (70_553_706_496, 4, 3),
    ],
)
def test_bits_are_those_of_the_nearest_measured_size_or_more(
    parameters: int, without_loss: int, with_some_loss: int | None
) -> None:
    found = advice(parameters)
    assert (found.without_loss, found.with_some_loss) == (without_loss, with_some_loss)


@pytest.mark.parametrize(
    ("quantization", "bits"),
    [
        ("Q4_K_M", 4),
        ("IQ3_XXS", 3),
        ("Q8_0", 8),
        ("EXL2-2.5bpw", 2.5),
        ("AWQ-4bit", 4),
        ("GPTQ-3bit", 3),
        ("FP8", 8),
        ("BF16", 16),
        ("EXL2", None),
    ],
)
def test_bits_are_those_of_the_name(quantization: str, bits: float | None) -> None:
    assert nominal_bits(quantization) == bits


def test_no_file_type_of_gguf_with_a_number_in_its_name_is_without_bits() -> None:
    without = {name for name in FILE_TYPES.values() if nominal_bits(name) is None}
    assert not any(character.isdigit() for name in without for character in name), without
