"""Application Auto Scaling of inference components, whose dimension moto does not know."""

from __future__ import annotations

from enum import Enum
from typing import Any

from moto.applicationautoscaling import models, responses

from quant_llm_tools.local_aws.cloud import Seam

COPIES = "sagemaker:inference-component:DesiredCopyCount"


def seams() -> list[Seam]:
    """moto's list of dimensions with one more, where moto looks at it."""
    known = {member.name: member.value for member in models.ScalableDimensionValueSet}
    more: Any = Enum  # the type checker wants the members written out
    dimensions = more("ScalableDimensionValueSet", {**known, "SAGEMAKER_INFERENCE_COMPONENT": COPIES})
    return [(module, "ScalableDimensionValueSet", dimensions) for module in (models, responses)]
