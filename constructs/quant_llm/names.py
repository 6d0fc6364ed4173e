"""Names that the stack and the tools beside it share. No CDK here: the tools start without it."""

from __future__ import annotations

ARTIFACT_PREFIX = "models"
# What the repack notes while it runs; the function has the same name in quant_llm_repack.records.
WORK_PREFIX = "work"

# What quantise jobs are given and make, by recipe and job. A job reads and writes nothing else there, and no
# endpoint reads it: a deploy verifies the files and copies them.
QUANTISED_PREFIX = "quantised"

# The name of an endpoint's one production variant; scaling and metrics are keyed by it.
VARIANT_NAME = "AllTraffic"

# The tag on everything of a stack, with the agency's name; the budget counts what carries it.
AGENCY_TAG = "agency"

ARCHIVE = "model.tar.gz"
S3_PREFIX = "s3-prefix"

# Where SageMaker puts the logs of all processing jobs of an account.
PROCESSING_LOG_GROUP = "/aws/sagemaker/ProcessingJobs"

# What callers leave and are given, in a bucket of their own: requests, answers and failures by model, and
# what is captured of the others.
ASYNC_PREFIX = "async"
CAPTURE_PREFIX = "capture"

# What the keys of an artifact have after its folder, by the artifact's format in the agency file.
_KEY_ENDS = {ARCHIVE: "model.tar.gz", S3_PREFIX: "files/"}


def artifact_key(model_name: str, digest: str, artifact_format: str = ARCHIVE) -> str:
    """The artifact's key in the bucket: new weights are a new key, so an object is never overwritten.

    One that ends in a slash is the prefix of the files' keys.

    >>> artifact_key("mistral-7b", "0f3c")
    'models/mistral-7b/0f3c/model.tar.gz'
    >>> artifact_key("mistral-7b", "0f3c", "s3-prefix")
    'models/mistral-7b/0f3c/files/'
    """
    return f"{ARTIFACT_PREFIX}/{model_name}/{digest}/{_KEY_ENDS[artifact_format]}"


def pascal_case(name: str) -> str:
    """A model's name as CloudFormation wants it in an output's key, which has no hyphens.

    >>> pascal_case("llama3-70b-awq")
    'Llama370bAwq'
    """
    return "".join(part.capitalize() for part in name.split("-"))


def quantise_output(recipe_name: str, what: str) -> str:
    """The stack's output in which `quantllm quantise` finds a recipe's Role, Image, Source or Key.

    >>> quantise_output("llama3-8b-q4", "Role")
    'QuantiseLlama38bQ4Role'
    """
    return f"Quantise{pascal_case(recipe_name)}{what}"
