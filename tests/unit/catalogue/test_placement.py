"""Agency files that don't fit: each with the exact message that it gets, with and without a lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quant_llm.agency import AgencyFileError, load_agency, locked
from quant_llm.catalogue import GIB, Workload, check, choices, explained, most_instances, place
from tests.unit.catalogue.conftest import write_lock

Change = Callable[..., Path]

TYPE = "instance_type: ml.g5.xlarge"
MORE = """\
  - name: more
    source: {hub: owner/some-GGUF}
    engine: llama.cpp
    instance_type: ml.g5.xlarge
    context_length: 4096
    concurrency: 4
"""


@pytest.fixture(autouse=True)
def an_overhead_of_one_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the messages stay the same when the constants of the overhead are measured again."""
    monkeypatch.setattr("quant_llm.catalogue.sizing.overhead_bytes", lambda *_: GIB)


def problems(path: Path, *, with_lock: bool = True) -> list[str]:
    agency = load_agency(path)
    return [str(one) for one in check(agency, locked(agency, path) if with_lock else {})]


# What is replaced in the good file, and the messages after "agencies/moh.yaml:" with the lock; where they
# differ without it, those too.
REFUSED = [
    pytest.param(
        [(TYPE, "instance_type: ml.m5.xlarge")],
        [
            "7: models[0].instance_type: got 'ml.m5.xlarge', expected a type with NVIDIA GPUs that the "
            "catalogue knows; nearest that works: ml.g4dn.xlarge at $0.7364/h"
        ],
        None,
        id="no GPU",
    ),
    pytest.param(
        [("region: us-east-1", "region: ap-southeast-1"), (TYPE, "instance_type: ml.g6.xlarge")],
        [
            "7: models[0].instance_type: got 'ml.g6.xlarge', expected a type that SageMaker hosts in "
            "ap-southeast-1; nearest that works: ml.g4dn.xlarge at about $1.03/h (estimate)"
        ],
        [
            "7: models[0].instance_type: got 'ml.g6.xlarge', expected a type that SageMaker hosts in "
            "ap-southeast-1; nearest that works: ml.g5.xlarge (price unknown in ap-southeast-1)"
        ],
        id="type that the region lacks",
    ),
    pytest.param(
        [("region: us-east-1", "region: ap-east-2")],
        [
            "7: models[0].instance_type: got 'ml.g5.xlarge', expected a type that SageMaker hosts in "
            "ap-east-2; no type in ap-east-2 works"
        ],
        None,
        id="region without GPUs",
    ),
    pytest.param(
        [("engine: llama.cpp", "engine: exllamav2"), (TYPE, "instance_type: ml.g4dn.xlarge")],
        [
            "6: models[0].engine: got 'exllamav2', expected an engine that reads Q4_K_M, which the lock has: "
            "llama.cpp; did you mean 'llama.cpp'?"
        ],
        [
            "7: models[0].instance_type: got 'ml.g4dn.xlarge', expected a GPU that ExLlamaV2 runs on, of "
            "compute capability one of 8.0, 8.6, 8.9, 9.0, 12.0: NVIDIA T4 has 7.5; nearest that works: "
            "ml.g6.xlarge at about $1.13/h (estimate)"
        ],
        id="ExLlamaV2 with a GGUF, or on a T4",
    ),
    pytest.param(
        [(TYPE, "instance_type: ml.p6-b200.48xlarge")],
        [
            "7: models[0].instance_type: got 'ml.p6-b200.48xlarge', expected a GPU that llama.cpp runs on, "
            "of compute capability one of 7.5, 8.0, 8.6, 8.9, 9.0, 12.0: NVIDIA B200 has 10.0; nearest that "
            "works: ml.g4dn.xlarge at $0.7364/h"
        ],
        [
            "7: models[0].instance_type: got 'ml.p6-b200.48xlarge', expected a GPU that llama.cpp runs on, "
            "of compute capability one of 7.5, 8.0, 8.6, 8.9, 9.0, 12.0: NVIDIA B200 has 10.0; nearest that "
            "works: ml.p5en.48xlarge (price unknown in us-east-1)"
        ],
        id="GPU that the image has no code for",
    ),
    pytest.param(
        [("context_length: 4096", "context_length: 32768"), ("concurrency: 4", "concurrency: 8")],
        [
            "7: models[0].instance_type: got 'ml.g5.xlarge', expected more GPU memory than the 21.7 GiB of 1 "
            "x NVIDIA A10G: weights 4.1 + KV cache 32.0 + overhead 1.0 = 37.1 GiB; nearest that works: "
            "ml.g6e.xlarge at $2.61/h, or context_length: 16896 on ml.g5.xlarge"
        ],
        [],
        id="KV cache too large",
    ),
    pytest.param(
        [(TYPE, "instance_type: auto"), ("region: us-east-1", "region: ap-east-2")],
        [
            "7: models[0].instance_type: got 'auto', expected a region where SageMaker hosts GPUs: the "
            "catalogue has none in ap-east-2"
        ],
        None,
        id="auto in a region without GPUs",
    ),
    pytest.param(
        [
            (TYPE, "instance_type: auto"),
            ("region: us-east-1", "region: ap-east-1"),
            ("context_length: 4096", "context_length: 32768"),
            ("concurrency: 4", "concurrency: 256"),
        ],
        [
            "7: models[0].instance_type: got 'auto', expected a type that fits; for ml.g5.48xlarge, the "
            "nearest in ap-east-1, it takes more GPU memory than the 21.7 GiB of 8 x NVIDIA A10G: weights "
            "0.6 + KV cache 160.0 + overhead 1.0 = 161.6 GiB on each of 8 GPUs"
        ],
        [],
        id="auto that finds nothing",
    ),
    pytest.param(
        [("context_length: 4096", "context_length: 65536")],
        [
            "8: models[0].context_length: got 65536, expected at most 32768, what the model was made for",
            "7: models[0].instance_type: got 'ml.g5.xlarge', expected more GPU memory than the 21.7 GiB of 1 "
            "x NVIDIA A10G: weights 4.1 + KV cache 32.0 + overhead 1.0 = 37.1 GiB; nearest that works: "
            "ml.g6e.xlarge at $2.61/h, or context_length: 32768 on ml.g5.xlarge",
        ],
        [],
        id="longer than the model can",
    ),
    pytest.param(
        [("models:", "quotas: {ml.g5.xlarge: 1}\nmodels:")],
        ["13: models[0].scaling.max: got 2, expected at most 1, the quota of ml.g5.xlarge"],
        None,
        id="more instances than the quota",
    ),
    pytest.param(
        [
            ("models:", "quotas: {ml.g5.xlarge: 3}\nmodels:"),
            (
                "      max: 2",
                '      max: 2\n      schedule: [{cron: "0 8 ? * MON-FRI *", timezone: UTC, min: 2, max: 4}]',
            ),
        ],
        ["14: models[0].scaling.schedule[0].max: got 4, expected at most 3, the quota of ml.g5.xlarge"],
        None,
        id="more instances than the quota at some hour",
    ),
    pytest.param(
        [("models:", "quotas: {ml.g5.xlarge: 2}\nmodels:"), ("      max: 2\n", "      max: 2\n" + MORE)],
        ["3: quotas['ml.g5.xlarge']: got 2, expected 3 at least, for 2 of chat + 1 of more"],
        None,
        id="more instances than the quota together",
    ),
]


@pytest.mark.parametrize(("changes", "messages", "without_lock"), REFUSED)
def test_a_file_that_does_not_fit_gets_these_messages_and_no_other(
    change: Change, changes: list[tuple[str, str]], messages: list[str], without_lock: list[str] | None
) -> None:
    path = change(*changes)
    assert problems(path) == [f"agencies/moh.yaml:{line}" for line in messages]
    expected = messages if without_lock is None else without_lock
    assert problems(path, with_lock=False) == [f"agencies/moh.yaml:{line}" for line in expected]


def test_weights_too_large_for_the_disk(good: Path) -> None:
    write_lock(good, weights=200 * 10**9)
    memory, disk = problems(good)
    assert "expected more GPU memory" in memory
    assert disk == (
        "agencies/moh.yaml:7: models[0].instance_type: got 'ml.g5.xlarge', expected a disk of 400 GB, for "
        "the archive beside its files: it has room for 238 GB; nearest that works: ml.g7e.24xlarge at about "
        "$20.72/h (estimate)"
    )


def test_a_refusal_has_its_parts_for_tools(change: Change) -> None:
    agency = load_agency(change((TYPE, "instance_type: ml.m5.xlarge")))
    (problem,) = check(agency, {})
    assert (problem.field, problem.got, problem.nearest) == (
        "models[0].instance_type",
        "'ml.m5.xlarge'",
        "ml.g4dn.xlarge",
    )
    with pytest.raises(AgencyFileError) as caught:
        place(agency, locked(agency, Path("agencies/moh.yaml")))
    assert len(caught.value.problems) == 1


def test_a_named_type_is_taken_as_it_is(good: Path) -> None:
    agency = load_agency(good)
    placement = place(agency, locked(agency, good))["chat"]
    assert (placement.instance_type, placement.ami, placement.volume_gb) == (
        "ml.g5.xlarge",
        "al2-ami-sagemaker-inference-gpu-3-1",
        None,
    )
    assert (placement.download_seconds, placement.startup_seconds) == (387, 343)
    assert placement.why is None


def test_auto_is_the_cheapest_that_fits_and_says_why(change: Change) -> None:
    path = change((TYPE, "instance_type: auto"))
    agency = load_agency(path)
    locks = locked(agency, path)
    placement = place(agency, locks)["chat"]
    assert placement.instance_type == "ml.g4dn.xlarge"
    assert placement.why is not None
    assert placement.why["price"] == "$0.7364/h"
    assert placement.why["price_basis"].startswith("published, 2025-01-26, fmbench: ")
    assert placement.why["memory_per_gpu"].startswith("weights 4.1 + KV cache 2.0 + overhead 1.0")
    assert [one["instance_type"] for one in placement.why["runners_up"]] == [
        "ml.g4dn.2xlarge",
        "ml.g6.xlarge",
    ]
    line = explained(agency, choices(agency, locks)["chat"])
    assert line.startswith("auto is ml.g4dn.xlarge at $0.7364/h (weights 4.1 + ")
    assert line.endswith("), then ml.g4dn.2xlarge at $0.94/h, then ml.g6.xlarge at about $1.13/h (estimate)")


def test_a_workload_has_what_the_file_and_the_lock_say(examples: Path) -> None:
    agency = load_agency(examples / "health.yaml")
    locks = locked(agency, examples / "health.yaml")
    mistral, codellama, llama = (Workload.of(model, locks[model.name]) for model in agency.models)
    assert (mistral.weight_bytes, mistral.total_bytes) == (4_368_439_584, 4_368_439_584)
    assert (mistral.context_length, mistral.concurrency, mistral.instances) == (8192, 8, 4)
    assert codellama.weight_bytes == 17_285_671_840
    assert codellama.total_bytes == locks["codellama-34b"].total_bytes > codellama.weight_bytes
    assert (llama.artifact, dict(llama.options)) == ("s3-prefix", {"OPTION_GPU_MEMORY_UTILIZATION": "0.92"})


def test_the_hours_with_the_most_instances_count(change: Change) -> None:
    schedule = (
        '[{cron: "0 8 ? * MON-FRI *", timezone: UTC, min: 2, max: 7}, {cron: "0 9 ? * * *", timezone: UTC, '
        "min: 2, max: 5}]"
    )
    path = change(("      max: 2", f"      max: 2\n      schedule: {schedule}"))
    assert most_instances(load_agency(path).models[0]) == 7


def test_every_example_fits(examples: Path) -> None:
    for name in ("default", "health", "justice"):
        agency = load_agency(examples / f"{name}.yaml")
        assert check(agency, locked(agency, examples / f"{name}.yaml")) == []
        assert check(agency, {}) == []


def test_auto_keeps_to_the_quotas(change: Change) -> None:
    path = change(
        (TYPE, "instance_type: auto"),
        ("models:", "quotas: {ml.g4dn.xlarge: 1, ml.g4dn.2xlarge: 2}\nmodels:"),
    )
    agency = load_agency(path)
    assert place(agency, locked(agency, path))["chat"].instance_type == "ml.g4dn.2xlarge"


def test_a_known_price_wins_over_an_unknown_one_and_it_is_said(change: Change) -> None:
    """In ap-southeast-1 the price of ml.g5 is unknown; it would be cheaper than four T4."""
    path = change(
        (TYPE, "instance_type: auto"),
        ("region: us-east-1", "region: ap-southeast-1"),
        ("concurrency: 4", "concurrency: 24"),
    )
    agency = load_agency(path)
    line = explained(agency, choices(agency, locked(agency, path))["chat"])
    assert line.startswith("auto is ml.g4dn.12xlarge at about $6.84/h (estimate) (")
    assert line.endswith("; an unknown price loses to a known one, `quantllm prices refresh` reads it")


def test_an_image_of_the_agencys_own_may_run_on_anything(change: Change) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/llama:v1"
    path = change((TYPE, f"image: {image}\n    instance_type: ml.m5.xlarge"))
    agency = load_agency(path)
    placement = place(agency, locked(agency, path))["chat"]
    assert (placement.instance_type, placement.ami, placement.volume_gb) == ("ml.m5.xlarge", None, None)


def test_a_stretched_context_may_be_longer_than_the_models_own(change: Change) -> None:
    path = change(
        ("context_length: 4096", "context_length: 65536"),
        ("concurrency: 4", "concurrency: 1\n    environment: {LLAMA_ARG_ROPE_SCALE: '2'}"),
    )
    assert problems(path) == []
