"""What people are told of an endpoint: one notice of each incident, and none while all is well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from quant_llm_watchdog import handler
from quant_llm_watchdog.watch import SLACK_SECONDS, Watch
from tests.unit.watchdog.fakes import BEGAN, END, LIMITS, NAME, SENTENCE, TOPIC, FakeAws, described

START_LIMIT = LIMITS["start_seconds"] + SLACK_SECONDS  # type: ignore[operator]  # the limits are of two types
UPDATE_LIMIT = LIMITS["update_seconds"] + SLACK_SECONDS  # type: ignore[operator]  # likewise


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


def follow(aws: FakeAws) -> dict[str, Any]:
    """SageMaker's event of a change, then the first look of its execution."""
    handler.changed(NAME, aws.edges())
    ((_, given),) = aws.executions.items()
    return handler.look(Watch.from_input(given["Watch"]), aws.edges())


def test_a_change_in_its_own_time_is_told_to_nobody(aws: FakeAws) -> None:
    aws.endpoint, aws.now = described("Creating"), BEGAN + START_LIMIT
    assert follow(aws) == {
        "Watch": aws.executions[f"{NAME}-{int(BEGAN)}"]["Watch"],
        "Done": False,
        "Seconds": 60,
    }
    aws.endpoint = described("InService")
    assert follow(aws)["Done"]
    assert aws.notices == []


@pytest.mark.parametrize(
    ("endpoint", "limit"),
    [
        pytest.param(described("Creating"), START_LIMIT, id="creating"),
        pytest.param(described("Updating", "old", pending="new"), UPDATE_LIMIT, id="updating"),
        pytest.param(described("Updating", "old"), START_LIMIT, id="instance count"),
    ],
)
def test_a_change_past_its_own_timeouts_is_told_once(
    aws: FakeAws, endpoint: dict[str, Any], limit: float
) -> None:
    aws.endpoint, aws.now = endpoint, BEGAN + limit
    assert not follow(aws)["Done"]
    assert aws.notices == []
    aws.now += 1
    aws.lines = [f"line {number}" for number in range(40)]
    assert follow(aws)["Done"]  # the execution ends, so there is no second one
    ((topic, notice),) = aws.notices
    assert topic == TOPIC
    minutes = round(aws.now - BEGAN) // 60
    said = f"{NAME} has been {endpoint['EndpointStatus']} for {minutes} minutes, longer than its own timeouts"
    assert notice.subject == said
    assert f"The endpoint {said}." in notice.text
    assert "Instance type: ml.g5.xlarge" in notice.text
    assert "  line 28\n" in notice.text
    assert "  line 39\n" in notice.text
    assert "line 27" not in notice.text


def test_several_events_of_one_change_are_one_watch(aws: FakeAws) -> None:
    aws.endpoint = described("Creating")
    for _ in range(3):
        handler.changed(NAME, aws.edges())
    aws.endpoint = described("Failed")  # the same incident's last event
    handler.changed(NAME, aws.edges())
    assert list(aws.executions) == [f"{NAME}-{int(BEGAN)}"]


@pytest.mark.parametrize("status", ["InService", "Deleting"])
def test_an_endpoint_that_does_not_change_is_not_watched(aws: FakeAws, status: str) -> None:
    aws.endpoint = described(status)
    handler.changed(NAME, aws.edges())
    handler.changed("of-another-stack", aws.edges())
    assert aws.executions == {}


def test_an_endpoint_that_failed_before_anybody_looked_is_told(aws: FakeAws) -> None:
    aws.endpoint = described(
        "Failed", FailureReason="ResourceLimitExceeded: the account-level service limit is 0"
    )
    assert follow(aws)["Done"]
    ((_, notice),) = aws.notices
    assert notice.subject == f"{NAME} is Failed"
    assert "SageMaker says: ResourceLimitExceeded" in notice.text
    assert "- quota: the account may have no more instances" in notice.text
    assert "(there is no line)" in notice.text


def test_a_container_that_ends_again_and_again_is_told_at_once(aws: FakeAws) -> None:
    aws.endpoint, aws.now, aws.lines = described("Creating"), BEGAN + 90, [END]
    assert not follow(aws)["Done"]  # once may be chance
    aws.lines = [END, "starting", END]
    assert follow(aws)["Done"]
    ((_, notice),) = aws.notices
    assert notice.subject == f"{NAME} is Creating, and its container ends again and again"
    assert (
        f"The container ended 2 times for the same reason, the last time because: {SENTENCE}" in notice.text
    )


def test_an_update_that_is_taken_back_is_told(aws: FakeAws) -> None:
    aws.endpoint = described("Updating", "old", pending="new")
    watch = Watch.from_input(follow(aws)["Watch"])
    aws.endpoint = described("InService", "old")
    assert handler.look(watch, aws.edges())["Done"]
    assert "did not take its update" in aws.notices[0][1].subject


def test_an_endpoint_that_is_deleted_meanwhile_is_told_to_nobody(aws: FakeAws) -> None:
    aws.endpoint = described("Updating", "old", pending="new")
    watch = Watch.from_input(follow(aws)["Watch"])
    for endpoint in (None, described("Deleting", "old")):
        aws.endpoint = endpoint
        assert handler.look(watch, aws.edges())["Done"]
    assert aws.notices == []


def test_the_next_change_is_told_by_its_own_watch_alone(aws: FakeAws) -> None:
    aws.endpoint = described("Creating")
    first = Watch.from_input(follow(aws)["Watch"])
    later = datetime.fromtimestamp(BEGAN + 5, UTC)  # deleted and made again between two looks
    aws.endpoint = described("Failed", CreationTime=later, LastModifiedTime=later)
    assert handler.look(first, aws.edges())["Done"]
    assert aws.notices == []
    handler.changed(NAME, aws.edges())
    second = Watch.from_input(aws.executions[f"{NAME}-{int(BEGAN) + 5}"]["Watch"])
    assert handler.look(second, aws.edges())["Done"]
    assert len(aws.notices) == 1


def test_a_subject_is_what_sns_takes(aws: FakeAws) -> None:
    aws.endpoint = described("Updating", "old", pending="new")
    watch = Watch.from_input(follow(aws)["Watch"])
    aws.endpoint = {**described("InService", "old"), "EndpointName": "é" * 63}
    handler.look(watch, aws.edges())
    subject = aws.notices[0][1].subject
    assert len(subject) == 100
    assert subject.isascii()
