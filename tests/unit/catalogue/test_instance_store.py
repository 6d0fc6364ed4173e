"""Whether a type has disks of its own: SageMaker refuses a key for their encryption."""

from __future__ import annotations

import pytest

from quant_llm.catalogue.placement import has_instance_store


@pytest.mark.parametrize(
    ("instance_type", "expected"),
    [
        ("ml.g4dn.xlarge", True),  # by the catalogue
        ("ml.p3.2xlarge", False),
        ("ml.c5.xlarge", False),  # by its name
        ("ml.c5d.xlarge", True),
        ("ml.m6gd.large", True),
        ("ml.t2.medium", False),
        ("ml.inf2.xlarge", None),
    ],
)
def test_instance_store(instance_type: str, expected: bool | None) -> None:
    assert has_instance_store(instance_type) is expected
