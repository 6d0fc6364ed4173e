"""Names that the stack and the tools beside it share. No CDK here: the tools start without it."""

from __future__ import annotations

ARTIFACT_PREFIX = "models"
# What the repack notes while it runs; the function has the same name in quant_llm_repack.records.
WORK_PREFIX = "work"

# The name of an endpoint's one production variant; scaling and metrics are keyed by it.
VARIANT_NAME = "AllTraffic"


def artifact_key(model_name: str, digest: str) -> str:
    """The artifact's key in the bucket: new weights are a new key, so an object is never overwritten.

    >>> artifact_key("mistral-7b", "0f3c")
    'models/mistral-7b/0f3c/model.tar.gz'
    """
    return f"{ARTIFACT_PREFIX}/{model_name}/{digest}/model.tar.gz"


def pascal_case(name: str) -> str:
    """A model's name as CloudFormation wants it in an output's key, which has no hyphens.

    >>> pascal_case("llama3-70b-awq")
    'Llama370bAwq'
    """
    return "".join(part.capitalize() for part in name.split("-"))
