"""The usual causes of an endpoint that does not come up, by what SageMaker and the container say."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quant_llm_watchdog.words import LastWords


@dataclass(frozen=True)
class Cause:
    """A symptom in SageMaker's reason or in the log, what is usually behind it, and what to do."""

    name: str
    symptom: str
    advice: str


CAUSES = (
    Cause(
        "GPU memory",
        r"out of memory|cudaMalloc failed|CUDA_ERROR_OUT_OF_MEMORY|failed to allocate",
        "the model and its KV cache do not fit: lower context_length or concurrency, or take a type with "
        "more GPU memory (quantllm plan)",
    ),
    Cause(
        "memory of the instance",
        r"(code|status) (-9|137)\b|SIGKILL|Cannot allocate memory|oom-kill|MemoryError",
        "the instance's own memory is too small: take the next size of the type",
    ),
    Cause(
        "driver and CUDA",
        r"CannotStartContainer|driver version is insufficient|no kernel image|forward compatib|libcuda"
        r"|no CUDA-capable device|nvidia-container|unsatisfied condition: cuda",
        "the image's CUDA needs another driver than the machine image has: an image of one's own must fit "
        "the type (docs/images.md)",
    ),
    Cause(
        "disk",
        r"No space left on device|not enough disk|disk quota",
        "the model does not fit beside its archive: artifact: s3-prefix needs half the space, a larger size "
        "of the type has more",
    ),
    Cause(
        "wrong file",
        r"GGUF|safetensors|tokenizer|is damaged|is truncated|is no file|model directory|config\.json",
        "the files of the lock are not what the engine expects: check source.files and engine, then "
        "quantllm lock",
    ),
    Cause(
        "wrong option",
        r"can't listen|must be|unknown (option|argument)|expected one of|LLAMA_ARG_|EXLLAMA_|OPTION_",
        "a variable of the container is wrong: check environment in the agency file",
    ),
    Cause(
        "quota",
        r"ResourceLimitExceeded|service limit|quota",
        "the account may have no more instances of the type: ask AWS Service Quotas for more (quantllm "
        "preflight shows them)",
    ),
    Cause(
        "capacity",
        r"InsufficientInstanceCapacity|insufficient capacity|[Uu]nable to provision|lack of capacity",
        "AWS has no instance of the type free at the moment: deploy later, or take another type or region",
    ),
    Cause(
        "image",
        r"[Aa]ll images included|ECR|image.*(not|n't) (found|exist)|CannotPull|pull image",
        "SageMaker can't get the image: is it in the agency's region, and may the endpoint's role pull it",
    ),
    Cause(
        "model data",
        r"[Mm]odel data|ModelData|AccessDenied|Access Denied|not authorized|KMS",
        "SageMaker can't read the artifact: has the bucket's or the key's policy, or a permissions boundary, "
        "been changed",
    ),
    Cause(
        "health check",
        r"ping health check|health check",
        "the container did not answer /ping in time: it is still loading, or it ended (see its last lines)",
    ),
)

SILENT = Cause(
    "no log",
    "",
    "with no line of log the container has not started: AWS has no instance free, the image can't be pulled, "
    "or its CUDA does not fit the machine image's driver",
)


def usual_causes(failure_reason: str, words: LastWords) -> list[Cause]:
    """The causes whose symptom is there, the most telling first; `SILENT` when nothing has been said."""
    said = "\n".join([failure_reason, words.sentence or "", *words.lines])
    found = [cause for cause in CAUSES if re.search(cause.symptom, said)]
    if not found and not words.lines:
        return [SILENT]
    # That the health check failed is a consequence, worth a line only where nothing else is known.
    telling = [cause for cause in found if cause.name != "health check"]
    return telling or found
