"""A recipe's job from the order to the entry in the lock."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quant_llm.agency import (
    AgencyConfig,
    AgencyLock,
    LockedFile,
    QuantiseConfig,
    QuantiseLock,
    QuantiseResult,
    display_name,
    load_agency,
    lock_path,
    locked_source,
    recipe_of,
)
from quant_llm.errors import QuantLlmError
from quant_llm.names import AGENCY_TAG, QUANTISED_PREFIX
from quant_llm_quantise.errors import RequestError
from quant_llm_quantise.request import FILES, MANIFEST, File, Manifest, Request
from quant_llm_tools.lock.agency import write_lock
from quant_llm_tools.lock.resolve import read_shape
from quant_llm_tools.quantise.aws import JobCloud, MadeRepository

ENGINES = {"gguf": "llama.cpp", "exl2": "exllamav2", "gptq": "exllamav2"}
"""An engine that reads what a method makes."""

_ROOT = "/opt/ml/processing"
_SPARE_GB = 30
_COPIES = 3  # the unquantised weights, the tool's own form of them, and at most as much again as its result
_POLL_SECONDS = 10.0
_FIRST_POLL_SECONDS = 0.5  # what fails at once is told at once
_MAX_JOB_NAME = 63

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """A recipe as file and lock have it now, with the texts that it names, by their sha256."""

    path: Path
    agency: AgencyConfig
    recipe: QuantiseConfig
    lock: QuantiseLock
    request: Request
    texts: dict[str, bytes]

    @property
    def lock_file(self) -> str:
        """The lock, as messages name it."""
        return display_name(lock_path(self.path))

    def prefix(self, job: str) -> str:
        """The folder in the bucket that a job of the recipe has to itself."""
        return f"{QUANTISED_PREFIX}/{self.recipe.name}/{job}/"


def read_order(path: Path, name: str | None) -> Order:
    """Read file, lock and texts; QuantLlmError for what is missing, and for a result that models serve."""
    agency, file = load_agency(path), display_name(path)
    names = [recipe.name for recipe in agency.quantise]
    if not names:
        raise QuantLlmError(f"{file}: has no recipe under `quantise`")
    if name is None and len(names) > 1:
        raise QuantLlmError(f"{file}: has {len(names)} recipes, choose by --recipe from {', '.join(names)}")
    if name is not None and name not in names:
        raise QuantLlmError(f"{file}: got the recipe {name!r}, expected one of {', '.join(names)}")
    recipe = agency.recipe(name or names[0])
    lock = AgencyLock.read(lock_path(path)).quantise.get(recipe.name)
    if lock is None or lock.source.source != locked_source(recipe.source):
        raise QuantLlmError(
            f"the recipe {recipe.name!r} is not in the lock as it is: run `quantllm lock {shlex.quote(file)}`"
        )
    users = [model.name for model in agency.models if model.source.quantised == recipe.name]
    if users and lock.result is not None:
        raise QuantLlmError(
            f"the recipe {recipe.name!r} has a result that {', '.join(users)} serves: add another recipe"
        )
    calibration, evaluation = _text(path, recipe.calibration), _text(path, recipe.evaluation)
    request = Request(
        name=recipe.name,
        method=recipe.method,
        **recipe.settings,
        repository=recipe.source.hub,
        commit=lock.source.commit,
        files=tuple(File(path=one.path, size=one.size, sha256=one.sha256) for one in lock.source.files),
        calibration_sha256=_sha256(calibration),
        evaluation_sha256=_sha256(evaluation),
    )
    texts = {sha256: text for text in (calibration, evaluation) if (sha256 := _sha256(text)) and text}
    return Order(path, agency, recipe, lock, request, texts)


def check_new(order: Order, job: str | None) -> None:
    """QuantLlmError when the lock has what the order asks for, by another job than `job`.

    What a recipe makes need not have the same bits twice, so another run would replace what is in the lock.
    """
    result, request = order.lock.result, order.request
    if result is None or result.job == job:
        return
    made = (result.recipe, result.source_digest, result.evaluation_sha256)
    asked = recipe_of(order.recipe, request.calibration_sha256)
    if made == (asked, order.lock.source.digest, request.evaluation_sha256):
        raise QuantLlmError(
            f"{order.lock_file} has a result of the recipe {order.recipe.name!r} as it is, by {result.job}: "
            f"let models use `quantised: {order.recipe.name}`, or replace the result with --again"
        )


def start(order: Order, cloud: JobCloud, now: datetime | None = None) -> str:
    """Lay out the job's input and start it; returns its name."""
    deployed = cloud.deployed(order.recipe.name)
    folder = f"/{order.lock.source.digest}/files/"
    if not deployed.source.endswith(folder):
        raise QuantLlmError(
            f"the stack has other unquantised weights than the lock, {deployed.source}, expected …{folder}: "
            f"run `cdk deploy {order.agency.stack_name}` first"
        )
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%d%H%M%S")
    kept = f"{order.agency.agency}-{order.recipe.name}"[: _MAX_JOB_NAME - len(stamp) - 1].rstrip("-")
    job = f"{kept}-{stamp}"
    prefix = order.prefix(job)
    cloud.put(deployed.bucket, f"{prefix}input/request/request.json", order.request.to_json().encode())
    for sha256, text in order.texts.items():
        cloud.put(deployed.bucket, f"{prefix}input/texts/{sha256}.txt", text)
    given = f"s3://{deployed.bucket}/{prefix}input"
    inputs = {"source": deployed.source, "request": f"{given}/request/"}
    if order.texts:
        inputs["texts"] = f"{given}/texts/"
    cloud.create(
        {
            "ProcessingJobName": job,
            "RoleArn": deployed.role,
            "AppSpecification": {"ImageUri": deployed.image},
            "NetworkConfig": {"EnableNetworkIsolation": True},
            "StoppingCondition": {"MaxRuntimeInSeconds": order.recipe.hours * 3600},
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": order.recipe.instance_type,
                    "VolumeSizeInGB": math.ceil(_COPIES * order.lock.source.total_bytes / 1e9) + _SPARE_GB,
                }
            },
            "ProcessingInputs": [_input(name, url) for name, url in inputs.items()],
            "ProcessingOutputConfig": {
                "KmsKeyId": deployed.key,  # without it SageMaker takes AWS's own key for S3, not the bucket's
                "Outputs": [
                    {
                        "OutputName": "output",
                        "S3Output": {
                            "S3Uri": f"s3://{deployed.bucket}/{prefix.rstrip('/')}",
                            "LocalPath": f"{_ROOT}/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ],
            },
            "Tags": [
                {"Key": key, "Value": value}
                for key, value in {AGENCY_TAG: order.agency.agency, **order.agency.tags}.items()
            ],
        }
    )
    return job


def finish(
    order: Order, cloud: JobCloud, job: str, tell: Tell, sleep: Callable[[float], None] = time.sleep
) -> QuantiseResult:
    """Wait for a job, check what it made against what was asked, and write it to the lock."""
    _wait(cloud, job, tell, sleep)
    bucket = cloud.deployed(order.recipe.name).bucket
    prefix = order.prefix(job)
    try:
        manifest = Manifest.from_json(cloud.get(bucket, f"{prefix}{MANIFEST}").decode())
    except RequestError as error:
        raise QuantLlmError(f"the manifest of {job} can't be read: {error}") from None
    if manifest.request != order.request:
        raise QuantLlmError(f"{job} was asked for something else than file and lock say now: start a new one")
    listed = {file.path: file.size for file in manifest.files}
    if (found := cloud.sizes(bucket, f"{prefix}{FILES}/")) != listed:
        paths = sorted(path for path in {*listed, *found} if listed.get(path) != found.get(path))
        raise QuantLlmError(f"{paths[0]} of {job} is not in S3 as its manifest says: start a new one")
    made = MadeRepository(cloud, bucket, f"{prefix}{FILES}/", manifest.files)
    engine = ENGINES[order.recipe.method]
    result = QuantiseResult(
        prefix=made.prefix,
        source_digest=order.lock.source.digest,
        recipe=recipe_of(order.recipe, order.request.calibration_sha256),
        tools=dict(manifest.tools),
        files=[LockedFile(path=one.path, size=one.size, sha256=one.sha256) for one in manifest.files],
        shape=read_shape(made, "", made.files(""), engine, tell),
        evaluation_sha256=order.request.evaluation_sha256,
        perplexity=dict(manifest.perplexity),
    )
    lock = AgencyLock.read(lock_path(order.path))
    held = lock.quantise.get(order.recipe.name)
    if held is not None and held.result is not None and held.result.job != job:
        tell(
            f"replacing the result of {held.result.job}; its files stay in s3://{bucket}/{held.result.prefix}"
        )
    recipes = {**lock.quantise, order.recipe.name: QuantiseLock(source=order.lock.source, result=result)}
    write_lock(lock_path(order.path), lock.model_copy(update={"quantise": recipes}).to_json())
    return result


def _wait(cloud: JobCloud, job: str, tell: Tell, sleep: Callable[[float], None]) -> None:
    seen: set[str] = set()
    since = 0
    pause = _FIRST_POLL_SECONDS
    while True:
        described = cloud.describe(job)
        for moment, event, line in cloud.lines(job, since):
            since = max(since, moment)
            if event not in seen and (said := _own_words(line)):
                tell(said)
            seen.add(event)
        status = described["ProcessingJobStatus"]
        if status == "Completed":
            return
        if status in ("Failed", "Stopped"):
            reasons = (described.get("ExitMessage"), described.get("FailureReason"))
            raise QuantLlmError(": ".join(filter(None, (f"{job} is {status}", *reasons))))
        sleep(min(pause, _POLL_SECONDS))
        pause *= 2


def _own_words(line: str) -> str | None:
    """What the job says itself; the tools' own lines stay in the log."""
    try:
        entry = json.loads(line)
        return None if "step" in entry else str(entry["message"])
    except (ValueError, KeyError, TypeError):
        return None


def _input(name: str, url: str) -> dict[str, Any]:
    source = {
        "S3Uri": url,
        "LocalPath": f"{_ROOT}/input/{name}",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
        "S3CompressionType": "None",
    }
    return {"InputName": name, "S3Input": source}


def _text(path: Path, name: str | None) -> bytes | None:
    if name is None:
        return None
    try:
        content = (path.parent / name).read_bytes()
    except OSError as error:
        raise QuantLlmError(f"{display_name(path.parent / name)}: can't be read: {error.strerror}") from None
    if not content.strip():
        raise QuantLlmError(f"{display_name(path.parent / name)}: is empty, expected a text")
    return content


def _sha256(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()
