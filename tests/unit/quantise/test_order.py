"""What `quantllm quantise` refuses before it asks AWS anything, and what it asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from quant_llm.agency import QuantiseLock
from quant_llm.errors import QuantLlmError
from quant_llm_tools.quantise.aws import Deployed, JobCloud
from quant_llm_tools.quantise.running import Order, check_new, read_order, start
from tests.unit.agency.test_quantise import FILE, RESULT, SOURCE, agency_file

UNSERVED = FILE.replace(", quantised: own-q4", "")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeCloud:
    """A deployed stack, and what is put and started."""

    def __init__(self, digest: str = SOURCE.digest) -> None:
        self.stack = Deployed(
            bucket="weights",
            role="arn:role",
            image="image@sha256:1",
            source=f"s3://weights/models/own-q4/{digest}/files/",
            key="arn:key",
        )
        self.objects: dict[str, bytes] = {}
        self.jobs: list[dict[str, Any]] = []

    def deployed(self, recipe: str) -> Deployed:
        assert recipe == "own-q4"
        return self.stack

    def put(self, bucket: str, key: str, content: bytes) -> None:
        assert bucket == "weights"
        self.objects[key] = content

    def create(self, request: dict[str, Any]) -> None:
        self.jobs.append(request)


def order(directory: Path, text: str = UNSERVED, **lock: Any) -> Order:
    return read_order(agency_file(directory, text, QuantiseLock(source=SOURCE, **lock)), None)


def started(order: Order, cloud: FakeCloud) -> str:
    return start(order, cast("JobCloud", cloud), NOW)


def test_the_job_has_no_network_and_writes_into_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("words")
    text = UNSERVED.replace(
        "    type: Q4_K_M\n", "    type: Q4_K_M\n    calibration: words.txt\n    hours: 2\n"
    )
    cloud = FakeCloud()
    asked = order(tmp_path, text)
    job = started(asked, cloud)
    assert job == "moh-own-q4-20260102030405"
    folder = f"quantised/own-q4/{job}"
    (sha256,) = asked.texts
    assert set(cloud.objects) == {
        f"{folder}/input/request/request.json",
        f"{folder}/input/texts/{sha256}.txt",
    }
    (request,) = cloud.jobs
    assert request["NetworkConfig"] == {"EnableNetworkIsolation": True}
    assert "Environment" not in request
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200}
    (output,) = request["ProcessingOutputConfig"]["Outputs"]
    assert output["S3Output"]["S3Uri"] == f"s3://weights/{folder}"
    inputs = {one["InputName"]: one["S3Input"]["S3Uri"] for one in request["ProcessingInputs"]}
    assert inputs == {
        "source": cloud.stack.source,
        "request": f"s3://weights/{folder}/input/request/",
        "texts": f"s3://weights/{folder}/input/texts/",
    }


def test_a_long_name_leaves_room_for_the_moment(tmp_path: Path) -> None:
    asked = order(tmp_path)
    long = asked.recipe.model_copy(update={"name": "a" * 80})
    cloud = FakeCloud()
    cloud.deployed = lambda recipe: cloud.stack  # type: ignore[method-assign] # of any name
    job = started(Order(asked.path, asked.agency, long, asked.lock, asked.request, {}), cloud)
    assert len(job) <= 63
    assert job.endswith("-20260102030405")


def test_a_stack_with_other_weights_starts_nothing(tmp_path: Path) -> None:
    cloud = FakeCloud(digest="0" * 64)
    with pytest.raises(
        QuantLlmError, match=r"other unquantised weights than the lock.*cdk deploy QuantLlmStack-moh"
    ):
        started(order(tmp_path), cloud)
    assert not cloud.jobs
    assert not cloud.objects


def test_a_result_that_is_served_is_not_replaced(tmp_path: Path) -> None:
    assert order(tmp_path, result=RESULT).lock.result == RESULT  # nobody serves it
    with pytest.raises(QuantLlmError, match="has a result that own serves: add another recipe"):
        order(tmp_path, FILE, result=RESULT)


def test_what_the_lock_has_already_is_not_made_again_unasked(tmp_path: Path) -> None:
    check_new(order(tmp_path), None)
    made = order(tmp_path, result=RESULT)
    with pytest.raises(
        QuantLlmError,
        match=r"moh.lock.json has a result of the recipe 'own-q4' as it is, by moh-own-q4-1: .* with --again",
    ):
        check_new(made, None)
    with pytest.raises(QuantLlmError, match="by moh-own-q4-1"):
        check_new(made, "moh-own-q4-2")
    check_new(made, "moh-own-q4-1")  # the same result once more


@pytest.mark.parametrize(
    ("changed", "result"),
    [
        (("type: Q4_K_M", "type: Q8_0"), {}),
        (("type: Q4_K_M", "type: Q4_K_M\n    calibration: words.txt"), {}),
        (("type: Q4_K_M", "type: Q4_K_M\n    evaluation: words.txt"), {}),
        (("", ""), {"source_digest": "0" * 64}),
        (("", ""), {"evaluation_sha256": "0" * 64}),
    ],
)
def test_a_changed_recipe_text_or_source_can_not_be_made(
    tmp_path: Path, changed: tuple[str, str], result: dict[str, Any]
) -> None:
    (tmp_path / "words.txt").write_text("words")
    text = UNSERVED.replace(*changed)
    check_new(order(tmp_path, text, result=RESULT.model_copy(update=result)), None)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("other", ("", ""), "got the recipe 'other', expected one of own-q4"),
        (None, ("revision: v1}\n    method", "revision: v2}\n    method"), "is not in the lock as it is"),
        (None, ("type: Q4_K_M", "type: Q4_K_M\n    evaluation: none.txt"), "none.txt: can't be read"),
        (None, ("type: Q4_K_M", "type: Q4_K_M\n    evaluation: empty.txt"), "empty.txt: is empty"),
    ],
)
def test_an_order_that_can_not_be_carried_out(
    tmp_path: Path, name: str | None, change: tuple[str, str], message: str
) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    path = agency_file(tmp_path, UNSERVED.replace(*change), QuantiseLock(source=SOURCE))
    with pytest.raises(QuantLlmError, match=message):
        read_order(path, name)


def test_several_recipes_must_be_chosen_from(tmp_path: Path) -> None:
    recipe = UNSERVED.partition("quantise:\n")[2].partition("models:")[0]
    path = agency_file(tmp_path, UNSERVED.replace("models:", recipe.replace("own-q4", "own-q8") + "models:"))
    with pytest.raises(QuantLlmError, match="has 2 recipes, choose by --recipe from own-q4, own-q8"):
        read_order(path, None)


def test_a_file_without_a_recipe_is_told_so(tmp_path: Path) -> None:
    text = UNSERVED.partition("quantise:\n")[0] + "models:" + UNSERVED.partition("models:")[2]
    with pytest.raises(QuantLlmError, match="has no recipe under `quantise`"):
        read_order(agency_file(tmp_path, text), None)
