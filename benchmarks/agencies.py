"""Any number of agency files with their locks, each a little different, to measure synth and review by."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from quant_llm.agency import AgencyLock, ModelLock
from quant_llm.paths import ROOT

_LOCKS = ROOT / "tests" / "fixtures" / "agencies"
_REGIONS = ("ap-southeast-1", "eu-central-1", "us-east-1", "us-west-2")

# Model of the example agencies: the locks that have it, and what its entries in the agency files are made of.
_MODELS: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "smollm2-135m": (
        "default",
        {
            "engine": ("llama.cpp",),
            "instance_type": ("auto", "ml.g4dn.xlarge", "ml.g5.xlarge"),
            "artifact": ("model.tar.gz", "s3-prefix"),
            "context_length": (1024, 2048),
            "concurrency": (1, 4, 8),
        },
    ),
    "mistral-7b": (
        "health",
        {
            "engine": ("llama.cpp",),
            "instance_type": ("auto", "ml.g5.xlarge", "ml.g5.2xlarge"),
            "artifact": ("model.tar.gz",),
            "context_length": (4096, 8192),
            "concurrency": (4, 8),
        },
    ),
    "codellama-34b": (
        "health",
        {
            "engine": ("exllamav2",),
            "instance_type": ("ml.g5.12xlarge",),
            "artifact": ("model.tar.gz", "s3-prefix"),
            "context_length": (4096, 8192),
            "concurrency": (2, 4),
        },
    ),
}


def write_agencies(directory: Path, count: int, *, seed: int = 0) -> list[Path]:
    """Write `count` agency files, each with its lock beside it; returns the files in order of name.

    The files differ in region, models, engines, instance types, scaling, network, alarms and budget, and each
    has weights of its own. A file is the same for the same `seed`, whatever `count` is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    yaml = YAML()
    paths = []
    for position in range(count):
        name = f"agency-{position:03}"
        choose = random.Random(f"{seed}/{name}")  # noqa: S311 - variety, no secret
        names = sorted(choose.sample(sorted(_MODELS), choose.choice((1, 1, 2, 3))))
        locks = {model: _lock(model, name) for model in names}
        document = dict(_agency(name, position, choose))
        document["models"] = [_model(model, locks[model], choose) for model in names]
        path = directory / f"{name}.yaml"
        yaml.dump(document, path)
        path.with_suffix(".lock.json").write_text(AgencyLock(agency=name, models=locks).to_json())
        paths.append(path)
    return paths


def _agency(name: str, position: int, choose: random.Random) -> Iterator[tuple[str, Any]]:
    account = f"{100_000_000_000 + position}"
    address = f"ml@{name}.example"
    yield "agency", name
    yield "environment", {"account": account, "region": choose.choice(_REGIONS)}
    yield "tags", {"cost-centre": f"C-{position:04}"}
    if choose.random() < 0.5:
        yield "permissions_boundary", f"arn:aws:iam::{account}:policy/Boundary"
    if choose.random() < 0.5:
        yield (
            "network",
            {
                "vpc_id": f"vpc-{position:017x}",
                "subnet_ids": [f"subnet-{position:016x}{zone}" for zone in "ab"],
                "security_group_ids": [f"sg-{position:017x}"],
            },
        )
    if choose.random() < 0.5:
        yield "budget", {"monthly_usd": choose.randrange(1000, 9000), "notify": [address]}
    if choose.random() < 0.5:
        yield "alarms", {"notify": [address]}


def _model(name: str, lock: ModelLock, choose: random.Random) -> dict[str, Any]:
    source = lock.source
    files = {"files": source.files} if source.files else {}
    least = choose.choice((1, 2))
    return {
        "name": name,
        "source": {"hub": source.hub, "revision": source.revision, **files},
        **{field: choose.choice(values) for field, values in _MODELS[name][1].items()},
        "scaling": {"min": least, "max": least + choose.randrange(1, 4)},
    }


def _lock(model: str, agency: str) -> ModelLock:
    """The lock of an example's model, with other weights."""
    lock = AgencyLock.read(_LOCKS / f"{_MODELS[model][0]}.lock.json").models[model]
    files = [
        file.model_copy(update={"sha256": hashlib.sha256(f"{agency}/{file.path}".encode()).hexdigest()})
        for file in lock.files
    ]
    return lock.model_copy(update={"files": files})
