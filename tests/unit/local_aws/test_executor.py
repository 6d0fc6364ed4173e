from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from quant_llm_tools.local_aws.cloudformation.executor import Executor
from quant_llm_tools.local_aws.resources import Request
from quant_llm_tools.local_aws.waiting import WAITERS, ResourceFailed
from tests.unit.local_aws.fake_resources import Thing, World, thing, world


@pytest.fixture
def here() -> Iterator[World]:
    with world() as made:
        yield made


def test_resources_are_made_after_what_they_refer_to_and_depend_on(here: World) -> None:
    here.create(
        {
            "Last": thing({"Fn::Sub": "${Middle} ${First.Value}"}),
            "Middle": thing({"Ref": "First"}),
            "First": thing("1", DependsOn="Zeroth"),
            "Zeroth": thing("0"),
        }
    )
    assert here.things.calls == [
        "create Zeroth-1 0",
        "create First-2 1",
        "create Middle-3 First-2",
        "create Last-4 Middle-3 1",
    ]
    assert here.stack.status == "CREATE_COMPLETE"


def test_every_step_has_an_event_with_the_physical_id(here: World) -> None:
    here.create({"A": thing()})
    assert [
        (event["LogicalResourceId"], event["PhysicalResourceId"], event["ResourceStatus"])
        for event in here.stack.events
    ] == [
        ("A", "", "CREATE_IN_PROGRESS"),
        ("A", "A-1", "CREATE_IN_PROGRESS"),
        ("A", "A-1", "CREATE_COMPLETE"),
        ("test", here.stack.id, "CREATE_COMPLETE"),
    ]
    moments = [event["Timestamp"] for event in here.stack.events]
    assert moments == sorted(moments)


def test_a_failed_create_removes_what_was_made_the_last_first(here: World) -> None:
    here.create({"A": thing(), "B": thing({"Ref": "A"}), "C": thing("broken", DependsOn="B")})
    assert here.statuses() == [
        "A: CREATE_IN_PROGRESS",
        "A: CREATE_IN_PROGRESS",
        "A: CREATE_COMPLETE",
        "B: CREATE_IN_PROGRESS",
        "B: CREATE_IN_PROGRESS",
        "B: CREATE_COMPLETE",
        "C: CREATE_IN_PROGRESS",
        "C: CREATE_IN_PROGRESS",
        "C: CREATE_FAILED",
        "test: ROLLBACK_IN_PROGRESS",
        "C: DELETE_IN_PROGRESS",
        "C: DELETE_COMPLETE",
        "B: DELETE_IN_PROGRESS",
        "B: DELETE_COMPLETE",
        "A: DELETE_IN_PROGRESS",
        "A: DELETE_COMPLETE",
        "test: ROLLBACK_COMPLETE",
    ]
    assert here.things.there == {}


def test_the_reasons_of_a_failed_create_name_the_resource_and_the_cause(here: World) -> None:
    here.create({"A": thing("broken")})
    reasons = {event["ResourceStatus"]: event.get("ResourceStatusReason") for event in here.stack.events}
    assert reasons["CREATE_FAILED"] == "it is broken"
    assert reasons["ROLLBACK_IN_PROGRESS"] == (
        "The following resource(s) failed to create: [A]. Rollback requested by user."
    )


def test_an_unknown_type_fails_the_stack_on_that_resource(here: World) -> None:
    here.create({"A": thing(), "B": thing(Type="Test::Unknown", DependsOn="A")})
    (failed,) = [event for event in here.stack.events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["LogicalResourceId"] == "B"
    assert failed["ResourceStatusReason"] == "the embedded AWS does not create Test::Unknown"
    assert here.stack.status == "ROLLBACK_COMPLETE"


def test_a_property_that_nothing_applies_fails_the_resource(here: World) -> None:
    here.create({"A": thing(Colour="red")})
    (failed,) = [event for event in here.stack.events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["ResourceStatusReason"] == "the embedded AWS does not apply Colour of Test::Thing"


def test_an_attribute_that_there_is_not_fails_the_resource_that_wants_it(here: World) -> None:
    here.create({"A": thing(), "B": thing({"Fn::GetAtt": ["A", "Shape"]})})
    (failed,) = [event for event in here.stack.events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["LogicalResourceId"] == "B"
    assert "does not support attribute type Shape" in failed["ResourceStatusReason"]


def test_an_update_touches_only_what_changed(here: World) -> None:
    here.create({"A": thing("1"), "B": thing("2")})
    here.statuses()
    here.update({"A": thing("1"), "B": thing("3")})
    assert here.statuses() == [
        "B: UPDATE_IN_PROGRESS",
        "B: UPDATE_COMPLETE",
        "test: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "test: UPDATE_COMPLETE",
    ]
    assert here.things.there == {"A-1": "1", "B-2": "3"}


def test_a_change_reaches_what_refers_to_it(here: World) -> None:
    here.create({"A": thing("1"), "B": thing({"Fn::GetAtt": ["A", "Value"]})})
    here.update({"A": thing("2"), "B": thing({"Fn::GetAtt": ["A", "Value"]})})
    assert here.things.there == {"A-1": "2", "B-2": "2"}


def bucket(value: str, name: str) -> dict[str, object]:
    # The schema of buckets says that another name is another bucket.
    return thing(value, Type="AWS::S3::Bucket", BucketName=name)


def test_a_replacement_is_made_before_dependents_change_and_the_old_one_goes_last(here: World) -> None:
    here.create({"A": bucket("1", "one"), "B": thing({"Ref": "A"})})
    here.statuses()
    here.things.calls.clear()
    here.update({"A": bucket("1", "two"), "B": thing({"Ref": "A"})})
    assert here.things.calls == ["create A-3 1", "update B-2 A-3", "delete A-1"]
    assert here.statuses() == [
        "A: UPDATE_IN_PROGRESS",
        "A: UPDATE_IN_PROGRESS",
        "A: UPDATE_COMPLETE",
        "B: UPDATE_IN_PROGRESS",
        "B: UPDATE_COMPLETE",
        "test: UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "A: DELETE_IN_PROGRESS",
        "A: DELETE_COMPLETE",
        "test: UPDATE_COMPLETE",
    ]


def test_a_resource_that_left_the_template_is_removed_in_the_clean_up(here: World) -> None:
    here.create({"A": thing(), "B": thing({"Ref": "A"}), "C": thing({"Ref": "B"})})
    here.things.calls.clear()
    here.update({"A": thing()})
    assert here.things.calls == ["delete C-3", "delete B-2"]
    assert list(here.stack.resources) == ["A"]


def test_retain_policies_keep_what_an_update_no_longer_wants(here: World) -> None:
    here.create(
        {
            "Replaced": {**bucket("1", "one"), "UpdateReplacePolicy": "Retain"},
            "Removed": thing(DeletionPolicy="Retain"),
        }
    )
    here.statuses()
    here.update({"Replaced": {**bucket("1", "two"), "UpdateReplacePolicy": "Retain"}})
    assert set(here.things.there) == {"Replaced-1", "Removed-2", "Replaced-3"}
    assert here.statuses("Removed") == ["DELETE_SKIPPED"]


def test_a_failed_update_brings_the_old_properties_back(here: World) -> None:
    here.create({"A": thing("1"), "B": thing("2", DependsOn="A")})
    here.statuses()
    here.things.calls.clear()
    here.update({"A": thing("changed"), "B": thing("broken", DependsOn="A"), "C": thing(DependsOn="B")})
    assert here.things.calls == ["update A-1 changed", "update B-2 broken", "update A-1 1", "update B-2 2"]
    assert here.statuses() == [
        "A: UPDATE_IN_PROGRESS",
        "A: UPDATE_COMPLETE",
        "B: UPDATE_IN_PROGRESS",
        "B: UPDATE_FAILED",
        "test: UPDATE_ROLLBACK_IN_PROGRESS",
        "A: UPDATE_IN_PROGRESS",
        "A: UPDATE_COMPLETE",
        "B: UPDATE_IN_PROGRESS",
        "B: UPDATE_COMPLETE",
        "test: UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "test: UPDATE_ROLLBACK_COMPLETE",
    ]


def test_a_failed_update_removes_what_it_created_and_switches_back_what_it_replaced(here: World) -> None:
    old = {"A": bucket("1", "one"), "B": thing({"Ref": "A"})}
    here.create(old)
    here.things.calls.clear()
    here.update({"New": thing(), "A": bucket("1", "two"), "B": thing({"Ref": "A"}), "C": thing("broken")})
    assert here.stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert here.things.there == {"A-1": "1", "B-2": "A-1"}
    assert here.stack.resources["A"].physical_id == "A-1"
    assert here.things.calls[-3:] == ["delete C-5", "delete A-4", "delete New-3"]
    # And the stack is whole: the same update without the mistake goes through.
    here.update({"A": bucket("1", "two"), "B": thing({"Ref": "A"})})
    assert here.stack.status == "UPDATE_COMPLETE"


@pytest.mark.parametrize("value", ["refused", "broken"])
def test_a_replacement_that_fails_leaves_the_old_resource(here: World, value: str) -> None:
    here.create({"A": bucket("1", "one")})
    here.update({"A": bucket(value, "two")})
    assert here.things.there == {"A-1": "1"}
    assert here.stack.resources["A"].properties["BucketName"] == "one"


def test_a_failed_update_brings_the_old_policies_back(here: World) -> None:
    here.create({"A": thing(DeletionPolicy="Retain"), "B": thing("1", DependsOn="A")})
    here.update({"A": thing(), "B": thing("broken", DependsOn="A")})
    here.delete()
    assert set(here.things.there) == {"A-1"}


def test_a_rollback_that_fails_says_so(here: World) -> None:
    here.create({"A": thing("1"), "B": thing("2", DependsOn="A")})
    here.stack.resources["A"].properties["Value"] = "broken"  # as if the old value were no longer possible
    here.update({"A": thing("3"), "B": thing("broken", DependsOn="A")})
    assert here.stack.status == "UPDATE_ROLLBACK_FAILED"
    assert here.stack.status_reason == "The following resource(s) failed to update: [A]. "


def test_deleting_removes_the_last_first_and_keeps_what_is_to_be_retained(here: World) -> None:
    here.create({"A": thing(), "B": thing({"Ref": "A"}), "Kept": thing(DeletionPolicy="Retain")})
    here.things.calls.clear()
    here.delete()
    assert here.things.calls == ["delete B-2", "delete A-1"]
    assert here.stack.status == "DELETE_COMPLETE"
    assert set(here.things.there) == {"Kept-3"}


def test_a_deletion_that_fails_can_be_tried_again(here: World) -> None:
    here.create({"A": thing("stuck"), "B": thing()})
    here.delete()
    assert here.stack.status == "DELETE_FAILED"
    assert here.stack.status_reason == "The following resource(s) failed to delete: [A]. "
    assert list(here.stack.resources) == ["A"]
    here.delete(retained=["A"])
    assert here.stack.status == "DELETE_COMPLETE"


def test_retain_except_on_create_does_not_keep_what_a_failed_create_made(here: World) -> None:
    here.create(
        {
            "Kept": thing(DeletionPolicy="Retain"),
            "Gone": thing(DeletionPolicy="RetainExceptOnCreate"),
            "C": thing("broken", DependsOn=["Kept", "Gone"]),
        }
    )
    assert set(here.things.there) == {"Kept-1"}


def test_a_waiter_that_fails_fails_the_resource(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(physical_id: str, region: str) -> None:
        raise ResourceFailed(f"{physical_id} in {region} never came up")

    monkeypatch.setitem(WAITERS, "Test::Thing", wait)
    here.create({"A": thing()})
    (failed,) = [event for event in here.stack.events if event["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["ResourceStatusReason"] == "A-1 in eu-west-1 never came up"
    assert here.things.there == {}


def test_outputs_are_resolved_and_a_wrong_one_fails_the_stack(here: World) -> None:
    here.create({"A": thing("1")}, Outputs={"X": {"Value": {"Fn::GetAtt": "A.Value"}, "Description": "d"}})
    assert here.stack.outputs == [{"OutputKey": "X", "OutputValue": "1", "Description": "d"}]
    here.update({"A": thing("2")}, Outputs={"X": {"Value": {"Fn::GetAtt": "A.Nothing"}}})
    assert here.stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert here.stack.outputs == [{"OutputKey": "X", "OutputValue": "1", "Description": "d"}]


def test_the_stacks_tags_reach_the_types_that_take_tags(here: World) -> None:
    here.create({"A": bucket("1", "one"), "B": thing()}, Tags={"team": "ml"})
    assert here.stack.resources["A"].properties["Tags"] == [{"Key": "team", "Value": "ml"}]
    assert "Tags" not in here.stack.resources["B"].properties


def test_a_stopping_cloud_ends_the_operation_where_it_is(here: World) -> None:
    from quant_llm_tools.local_aws.cloudformation.executor import Stopped

    here.cloud.stopping.set()
    with pytest.raises(Stopped):
        here.create({"A": thing()})


@pytest.fixture
def slow(here: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`slow("A", "create B-2 v")`: A is ready when that call has been made; "AFails" fails then."""
    ready_after: dict[str, str] = {}

    def wait(physical_id: str, region: str) -> None:
        name = physical_id.rpartition("-")[0]
        deadline = time.monotonic() + 5
        while name in ready_after and ready_after[name] not in here.things.calls:
            assert time.monotonic() < deadline, here.things.calls
            time.sleep(0.01)
        if name.endswith("Fails"):
            raise ResourceFailed(f"{name} never came up")

    monkeypatch.setitem(WAITERS, "Test::Thing", wait)
    return ready_after.__setitem__


def test_what_takes_its_time_is_waited_for_beside_the_others(
    here: World, slow: Callable[[str, str], None]
) -> None:
    slow("A", "create Other-3 v")
    here.create({"A": thing(), "After": thing({"Ref": "A"}), "B": thing(), "Other": thing(DependsOn="B")})
    assert here.things.calls == ["create A-1 v", "create B-2 v", "create Other-3 v", "create After-4 A-1"]
    assert here.stack.status == "CREATE_COMPLETE"
    assert all(resource.status == "CREATE_COMPLETE" for resource in here.stack.resources.values())


def test_a_failure_cancels_what_is_under_way_and_removes_it_when_it_has_ended(
    here: World, slow: Callable[[str, str], None]
) -> None:
    slow("A", "create Fails-2 v")
    here.create({"A": thing(), "Fails": thing(), "Never": thing(DependsOn=["A", "Fails"])})
    failed = {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in here.stack.events
        if event["ResourceStatus"] == "CREATE_FAILED"
    }
    assert failed["Fails"] == "Fails never came up"
    assert failed.get("A", "Resource creation cancelled") == "Resource creation cancelled"
    assert here.things.there == {}
    assert here.stack.status == "ROLLBACK_COMPLETE"


def test_a_failed_update_takes_back_what_was_still_under_way(
    here: World, slow: Callable[[str, str], None]
) -> None:
    here.create({"A": thing("1"), "B": thing("1")})
    slow("A", "update B-2 broken")
    here.update({"A": thing("2"), "B": thing("broken")})
    assert here.stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert here.things.there == {"A-1": "1", "B-2": "1"}


class Signalled(Thing):
    """Ready when it is told: fails a moment after everything else has been begun."""

    def wait(self, request: Request) -> None:
        assert not request.cancelled.wait(0.3)
        raise ResourceFailed("it was signalled")


def test_a_signal_is_heard_before_a_service_is_asked(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    signalled = Signalled()
    executor = Executor(here.cloud, here.stack, lambda name: signalled if "Signal" in name else here.things)

    def wait(physical_id: str, region: str) -> None:
        raise ResourceFailed("the service's words")

    monkeypatch.setitem(WAITERS, "Test::Thing", wait)
    executor.create(here.desired({"Service": thing(), "Condition": thing(Type="Test::Signal")}))
    reasons = {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in here.stack.events
        if event["ResourceStatus"] == "CREATE_FAILED"
    }
    assert reasons == {"Condition": "it was signalled", "Service": "Resource creation cancelled"}
