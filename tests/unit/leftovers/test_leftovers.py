"""What counts as left behind, and what is said of it: each rule has a case in which only it decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from quant_llm.agency import load_agency
from quant_llm.errors import QuantLlmError
from quant_llm.paths import ROOT
from quant_llm_tools.leftovers.command import leftovers_of
from quant_llm_tools.leftovers.describe import Contents, Leftover, describe
from quant_llm_tools.leftovers.inventory import StackState, Tagged, left_behind
from quant_llm_tools.leftovers.report import document, text

BUCKET = Tagged("arn:aws:s3:::quantllmstack-models-1", {"agency": "default"})
KEY = Tagged("arn:aws:kms:us-east-1:123456789012:key/1-2", {"agency": "default"})
TOPIC = Tagged("arn:aws:sns:us-east-1:123456789012:QuantLlmStack-Alarms-1", {"agency": "default"})


@dataclass
class FakeCloud:
    """An account; everything is of one page."""

    resources: Iterable[Tagged] = ()
    state: StackState | None = None
    keys: Mapping[str, str | None] = field(default_factory=dict)
    inside: Contents = field(default_factory=lambda: Contents(0, 0, 0))
    logs: Mapping[str, int] = field(default_factory=dict)

    def tagged(self, agency: str) -> Iterable[Tagged]:
        assert agency == "default"
        return self.resources

    def stack(self, name: str) -> StackState | None:
        assert name == "QuantLlmStack"
        return self.state

    def key_description(self, key_id: str) -> str | None:
        return self.keys[key_id]

    def contents(self, bucket: str) -> Contents:
        return self.inside

    def images(self, repository: str) -> int:
        return 3

    def log_bytes(self, group: str) -> int | None:
        return self.logs.get(group)


def left(one: Tagged, *, state: StackState | None = None, key: str | None = None) -> bool:
    cloud = FakeCloud(keys={KEY.name: key})
    return list(left_behind([one], "default", "QuantLlmStack", state, cloud)) == [one]


def held(physical_id: str, status: str = "CREATE_COMPLETE", stack: str = "UPDATE_COMPLETE") -> StackState:
    return StackState(stack, {physical_id: status})


@pytest.mark.parametrize(
    ("resource", "is_left"),
    [
        (BUCKET, True),
        (Tagged(BUCKET.arn, {}), False),
        (Tagged(BUCKET.arn, {"agency": "moh"}), False),
        (Tagged("arn:aws:s3:::website", {"agency": "default"}), False),
        (Tagged("arn:aws:s3:::quantllmstack2-models", {"agency": "default"}), False),
        (
            Tagged("arn:aws:s3:::w", {"agency": "default", "aws:cloudformation:stack-name": "QuantLlmStack"}),
            True,
        ),
        (Tagged(BUCKET.arn, {"agency": "default", "aws:cloudformation:stack-name": "Website"}), False),
    ],
)
def test_of_the_stack_is_what_its_tags_and_its_name_say(resource: Tagged, is_left: bool) -> None:
    assert left(resource) is is_left


@pytest.mark.parametrize(
    ("description", "is_left"),
    [
        ("Model artifacts of QuantLlmStack", True),
        ("Model artifacts of QuantLlmStack-moh", False),
        ("the website's", False),
        (None, False),  # about to be deleted
    ],
)
def test_a_key_is_known_by_its_description(description: str | None, is_left: bool) -> None:
    assert left(KEY, key=description) is is_left


def test_what_the_stack_has_is_not_left_by_name_or_arn_and_what_it_has_let_go_is() -> None:
    assert not left(BUCKET, state=held(BUCKET.name))
    assert not left(TOPIC, state=held(TOPIC.arn))
    assert not left(BUCKET, state=held(BUCKET.name, "UPDATE_FAILED"))
    assert left(BUCKET, state=held("quantllmstack-models-2"))
    assert left(BUCKET, state=held(BUCKET.name, "DELETE_SKIPPED", "ROLLBACK_COMPLETE"))


AGENCY = load_agency(ROOT / "agencies" / "default.yaml")


def test_nobody_can_tell_while_the_stack_changes() -> None:
    with pytest.raises(QuantLlmError, match="UPDATE_IN_PROGRESS: look again when it is done"):
        leftovers_of(AGENCY, FakeCloud(state=held(BUCKET.name, stack="UPDATE_IN_PROGRESS")))


def test_logs_of_an_endpoint_that_is_gone_are_left() -> None:
    group = "/aws/sagemaker/Endpoints/default-smollm2-135m"
    gone = FakeCloud(logs={group: 7})
    assert [one.name for one in leftovers_of(AGENCY, gone)] == [group]
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/default-smollm2-135m"
    assert leftovers_of(AGENCY, FakeCloud(logs={group: 7}, state=held(arn))) == []


def said_of(arn: str, cloud: FakeCloud | None = None) -> Leftover:
    return describe(Tagged(arn, {}), cloud or FakeCloud(), "us-east-1")


def test_an_empty_bucket_costs_nothing_and_a_full_one_is_emptied_of_all_versions_first() -> None:
    empty = said_of(BUCKET.arn)
    delete = f"aws s3api delete-bucket --bucket {BUCKET.name} --region us-east-1"
    assert (empty.usd_per_month, empty.commands) == (0.0, (delete,))
    full = said_of(BUCKET.arn, FakeCloud(inside=Contents(2, 1, 5_000, more=True)))
    assert full.usd_per_month is None
    repeat = ": a command removes 200 at once, repeat it until the bucket is empty"
    assert full.holds == f"2 object versions, 5,000 bytes and more{repeat}"
    assert said_of(BUCKET.arn, FakeCloud(inside=Contents(200, 0, 1))).holds == "200 object versions, 1 bytes"
    assert said_of(BUCKET.arn, FakeCloud(inside=Contents(0, 201, 0))).holds.endswith(repeat)
    assert ["Versions[]" in each for each in full.commands] == [True, False, False]
    assert ["DeleteMarkers[]" in each for each in full.commands] == [False, True, False]
    assert full.commands[-1] == delete


@pytest.mark.parametrize(
    ("resource", "type_", "command"),
    [
        ("logs:us-east-1:1:log-group:/a/b", "log group", "aws logs delete-log-group --log-group-name /a/b"),
        (
            "ecr:us-east-1:1:repository/a/b",
            "image repository",
            "aws ecr delete-repository --repository-name a/b",
        ),
        ("sagemaker:us-east-1:1:endpoint/a", "endpoint", "aws sagemaker delete-endpoint --endpoint-name a"),
        (
            "sagemaker:us-east-1:1:endpoint-config/a",
            "endpoint configuration",
            "aws sagemaker delete-endpoint-config --endpoint-config-name a",
        ),
        (
            "kms:us-east-1:1:key/a",
            "key",
            "aws kms schedule-key-deletion --key-id a --pending-window-in-days 7",
        ),
    ],
)
def test_each_known_type_has_its_command(resource: str, type_: str, command: str) -> None:
    said = said_of(f"arn:aws:{resource}")
    assert said.type == type_
    assert said.commands[0].startswith(f"{command} --region us-east-1")


def test_the_report_sums_what_is_known_and_puts_a_key_after_what_it_encrypts() -> None:
    cloud = FakeCloud([KEY, TOPIC, BUCKET], keys={KEY.name: "Model artifacts of QuantLlmStack"})
    found = [(AGENCY, leftovers_of(AGENCY, cloud))]
    assert document(found)["usd_per_month"] == 1.0
    lines = text(found).splitlines()
    commands = [line.split()[2] for line in lines if line.startswith("aws ")]
    assert commands == ["delete-bucket", "schedule-key-deletion"]
    assert lines[-1] == TOPIC.arn  # of a type that has no command here
    assert text([(AGENCY, [])]) == (
        "default: nothing is left of QuantLlmStack in account 123456789012 in us-east-1"
    )
