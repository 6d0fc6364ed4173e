"""Stacks as the CDK drives them: change sets, updates, rollbacks, deletion."""

from __future__ import annotations

import json

import pytest
import urllib3
from botocore.exceptions import ClientError

from tests.integration.local_aws.account import Account


def topic(name: str, display: str = "x") -> dict[str, object]:
    return {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": name, "DisplayName": display}}


def log_group(days: int) -> dict[str, object]:
    return {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": days}}


def test_a_change_set_creates_a_stack_with_its_events_in_order(account: Account) -> None:
    stack = account.deploy(
        "created",
        {
            "Alarmed": topic("alarmed"),
            "Group": {**log_group(7), "DependsOn": "Alarmed"},
        },
        Outputs={"Topic": {"Value": {"Ref": "Alarmed"}, "Export": {"Name": "the-topic"}}},
        tags=[{"Key": "team", "Value": "ml"}],
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    arn = "arn:aws:sns:us-east-1:123456789012:alarmed"
    assert stack["Outputs"] == [{"OutputKey": "Topic", "OutputValue": arn, "ExportName": "the-topic"}]
    assert stack["Tags"] == [{"Key": "team", "Value": "ml"}]
    group = account.physical_id("created", "Group")
    assert [
        (event["LogicalResourceId"], event.get("PhysicalResourceId"), event["ResourceStatus"])
        for event in account.events("created")
    ] == [
        ("created", stack["StackId"], "REVIEW_IN_PROGRESS"),
        ("created", stack["StackId"], "CREATE_IN_PROGRESS"),
        ("Alarmed", "", "CREATE_IN_PROGRESS"),
        ("Alarmed", arn, "CREATE_IN_PROGRESS"),
        ("Alarmed", arn, "CREATE_COMPLETE"),
        ("Group", "", "CREATE_IN_PROGRESS"),
        ("Group", group, "CREATE_IN_PROGRESS"),
        ("Group", group, "CREATE_COMPLETE"),
        ("created", stack["StackId"], "CREATE_COMPLETE"),
    ]


def test_many_events_come_in_pages_without_a_gap(account: Account) -> None:
    account.deploy("many", {f"Group{number:02}": log_group(1) for number in range(40)})
    events = account.events("many")
    assert len(events) == 3 + 40 * 3
    assert len({event["EventId"] for event in events}) == len(events)
    first = account.client("cloudformation").describe_stack_events(StackName="many")
    assert len(first["StackEvents"]) == 100
    assert first["StackEvents"][0]["ResourceStatus"] == "CREATE_COMPLETE"


def test_an_update_changes_in_place_and_by_replacement(account: Account) -> None:
    account.deploy("updated", {"Group": log_group(7), "Topic": topic("one")})
    group = account.physical_id("updated", "Group")
    stack = account.deploy("updated", {"Group": log_group(30), "Topic": topic("two")})
    assert stack["StackStatus"] == "UPDATE_COMPLETE"
    assert account.physical_id("updated", "Group") == group
    (described,) = account.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert described["retentionInDays"] == 30
    topics = [entry["TopicArn"].rsplit(":")[-1] for entry in account.client("sns").list_topics()["Topics"]]
    assert "two" in topics
    assert "one" not in topics


def test_an_update_without_changes_is_an_empty_change_set(account: Account) -> None:
    account.deploy("same", {"Group": log_group(7)})
    change_set = account.propose("same", {"Group": log_group(7)})
    assert change_set["Status"] == "FAILED"
    assert change_set["StatusReason"].startswith("The submitted information didn't contain changes.")
    assert change_set["Changes"] == []
    with pytest.raises(ClientError, match="cannot be executed"):
        account.client("cloudformation").execute_change_set(StackName="same", ChangeSetName="change")


def test_an_update_without_a_change_set_works_and_refuses_when_nothing_changes(account: Account) -> None:
    cloudformation = account.client("cloudformation")
    body = json.dumps({"Resources": {"Group": log_group(7)}})
    cloudformation.create_stack(StackName="direct", TemplateBody=body)
    assert account.settled("direct")["StackStatus"] == "CREATE_COMPLETE"
    with pytest.raises(ClientError, match=r"No updates are to be performed\.$"):
        cloudformation.update_stack(StackName="direct", TemplateBody=body)
    cloudformation.update_stack(StackName="direct", TemplateBody=body.replace("7", "14"))
    assert account.settled("direct")["StackStatus"] == "UPDATE_COMPLETE"


def test_a_failed_create_rolls_back_with_its_reason(account: Account) -> None:
    stack = account.deploy(
        "broken",
        {"Group": log_group(7), "Unknown": {"Type": "AWS::Glue::Job", "DependsOn": "Group"}},
    )
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = account.reason("broken", "Unknown", "CREATE_FAILED")
    assert reason == "the embedded AWS does not create AWS::Glue::Job"
    assert account.client("logs").describe_log_groups(logGroupNamePrefix="broken-")["logGroups"] == []
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        account.propose("broken", {"Group": log_group(7)})
    assert account.destroy("broken") == "DELETE_COMPLETE"


def test_the_services_own_refusal_is_the_reason(account: Account) -> None:
    account.deploy("wrong", {"Group": log_group(7), "Again": topic("x" * 300)})
    assert "HandlerErrorCode" in account.reason("wrong", "Again", "CREATE_FAILED")


def test_a_failed_update_rolls_back_to_what_was(account: Account) -> None:
    account.deploy("kept", {"Group": log_group(7), "Topic": topic("kept-one")})
    stack = account.deploy(
        "kept", {"Group": log_group(30), "Topic": topic("kept-two"), "New": {"Type": "AWS::Glue::Job"}}
    )
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    group = account.physical_id("kept", "Group")
    (described,) = account.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert described["retentionInDays"] == 7
    assert account.physical_id("kept", "Topic").endswith(":kept-one")
    assert account.client("cloudformation").get_template(StackName="kept")["TemplateBody"]["Resources"] == {
        "Group": log_group(7),
        "Topic": topic("kept-one"),
    }


def test_a_deleted_stack_is_found_by_id_only_and_its_name_is_free(account: Account) -> None:
    stack_id = account.deploy("gone", {"Group": log_group(7)})["StackId"]
    assert account.destroy("gone") == "DELETE_COMPLETE"
    assert account.stack(stack_id)["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="Stack with id gone does not exist"):
        account.stack("gone")
    assert account.deploy("gone", {"Group": log_group(7)})["StackId"] != stack_id


def test_a_full_bucket_fails_the_deletion_as_on_aws(account: Account) -> None:
    account.deploy("full", {"Bucket": {"Type": "AWS::S3::Bucket"}})
    bucket = account.physical_id("full", "Bucket")
    account.client("s3").put_object(Bucket=bucket, Key="a", Body=b"a")
    assert account.destroy("full") == "DELETE_FAILED"
    assert "not empty" in account.reason("full", "Bucket", "DELETE_FAILED")
    account.client("s3").delete_object(Bucket=bucket, Key="a")
    assert account.destroy("full") == "DELETE_COMPLETE"


def test_termination_protection_keeps_a_stack(account: Account) -> None:
    account.deploy("protected", {"Group": log_group(7)})
    cloudformation = account.client("cloudformation")
    cloudformation.update_termination_protection(StackName="protected", EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        cloudformation.delete_stack(StackName="protected")


def test_deleting_a_change_set_that_is_not_there_succeeds(account: Account) -> None:
    account.deploy("clean", {"Group": log_group(7)})
    cloudformation = account.client("cloudformation")
    cloudformation.delete_change_set(StackName="clean", ChangeSetName="cdk-deploy-change-set")
    with pytest.raises(cloudformation.exceptions.ChangeSetNotFoundException):
        cloudformation.describe_change_set(StackName="clean", ChangeSetName="cdk-deploy-change-set")


def test_the_previous_value_of_a_defaulted_ssm_parameter_is_looked_up_again(account: Account) -> None:
    account.client("ssm").put_parameter(Name="/version", Value="21", Type="String")
    parameters = {"Version": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/version"}}
    outputs = {"Version": {"Value": {"Ref": "Version"}}}
    account.deploy("versioned", {"Group": log_group(7)}, Parameters=parameters, Outputs=outputs)
    account.client("ssm").put_parameter(Name="/version", Value="22", Type="String", Overwrite=True)
    previous = [{"ParameterKey": "Version", "UsePreviousValue": True}]
    account.deploy(
        "versioned", {"Group": log_group(14)}, Parameters=parameters, Outputs=outputs, given=previous
    )
    assert account.outputs("versioned") == {"Version": "22"}
    (parameter,) = account.stack("versioned")["Parameters"]
    assert parameter == {"ParameterKey": "Version", "ParameterValue": "/version", "ResolvedValue": "22"}


def test_secret_parameters_are_masked(account: Account) -> None:
    account.deploy(
        "secret",
        {"Topic": topic("secret", {"Ref": "Token"})},  # type: ignore[arg-type]  # a function for a string
        Parameters={"Token": {"Type": "String", "NoEcho": True}},
        given=[{"ParameterKey": "Token", "ParameterValue": "hunter2"}],
    )
    assert "hunter2" not in str(account.stack("secret"))


def test_a_rule_that_does_not_hold_is_refused_before_anything_is_made(account: Account) -> None:
    never = {"Assertions": [{"Assert": {"Fn::Equals": ["1", "2"]}, "AssertDescription": "run cdk bootstrap"}]}
    with pytest.raises(ClientError, match="run cdk bootstrap"):
        account.deploy("ruled", {"Group": log_group(7)}, Rules={"Check": never})


def test_what_the_api_does_not_do_is_an_error(account: Account) -> None:
    with pytest.raises(ClientError, match="the embedded AWS does not do cloudformation ListExports"):
        account.client("cloudformation").list_exports()
    with pytest.raises(ClientError, match="the embedded AWS does not do cloudtrail LookupEvents"):
        account.client("cloudtrail").lookup_events()
    with pytest.raises(ClientError, match="always rolls back"):
        account.client("cloudformation").create_stack(
            StackName="no-rollback", TemplateBody='{"Resources": {}}', DisableRollback=True
        )


def test_the_cdks_metadata_and_a_wait_condition_need_no_service(account: Account) -> None:
    cloudformation = account.client("cloudformation")
    resources = {
        "CDKMetadata": {"Type": "AWS::CDK::Metadata", "Properties": {"Analytics": "v2"}},
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Condition": {
            "Type": "AWS::CloudFormation::WaitCondition",
            "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "20", "Count": 1},
        },
    }
    cloudformation.create_stack(StackName="waits", TemplateBody=json.dumps({"Resources": resources}))
    while "Condition" not in [event["LogicalResourceId"] for event in account.events("waits")]:
        assert account.stack("waits")["StackStatus"] == "CREATE_IN_PROGRESS"
    signal = json.dumps({"Status": "SUCCESS", "UniqueId": "1", "Data": "d"})
    url = account.physical_id("waits", "Handle")
    assert urllib3.request("PUT", url, body=signal).status == 200
    assert account.settled("waits")["StackStatus"] == "CREATE_COMPLETE"
