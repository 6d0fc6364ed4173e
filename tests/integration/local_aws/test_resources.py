"""Each resource type is made for real: what the template says is read back through the services' own APIs."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.local_aws.account import Account, arn_of, function, role

Json = Any


def test_a_bucket_with_all_that_the_stack_sets(account: Account) -> None:
    def policy(effect: str) -> Json:
        tls = {"Bool": {"aws:SecureTransport": "false"}}
        statement: Json = {"Effect": effect, "Principal": {"AWS": "*"}, "Action": "s3:*", "Condition": tls}
        statement["Resource"] = [arn_of("Bucket"), {"Fn::Sub": "${Bucket.Arn}/*"}]
        document = {"Version": "2012-10-17", "Statement": [statement]}
        return {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": document},
        }

    def bucket(**more: Json) -> Json:
        encryption = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn_of("Key")}
        rule = {"ServerSideEncryptionByDefault": encryption, "BucketKeyEnabled": True}
        properties = {
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [rule]},
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "VersioningConfiguration": {"Status": "Enabled"},
            **more,
        }
        return {"Type": "AWS::S3::Bucket", "Properties": properties}

    lifecycle = {
        "LifecycleConfiguration": {
            "Rules": [
                {
                    "Id": "uploads",
                    "Status": "Enabled",
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
                }
            ]
        }
    }
    key = {"Type": "AWS::KMS::Key", "Properties": {"EnableKeyRotation": True, "Description": "d"}}
    account.deploy("bucket", {"Key": key, "Bucket": bucket(**lifecycle), "Policy": policy("Deny")})
    name, s3 = account.physical_id("bucket", "Bucket"), account.client("s3")
    assert name.startswith("bucket-bucket-")
    (rule,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    key_arn = f"arn:aws:kms:us-east-1:123456789012:key/{account.physical_id('bucket', 'Key')}"
    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": key_arn,
    }
    assert rule["BucketKeyEnabled"] is True
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"]
    assert statement["Resource"] == [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
    (ownership,) = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert ownership == {"ObjectOwnership": "BucketOwnerEnforced"}
    s3.put_object(Bucket=name, Key="a", Body=b"a")  # "TLS only" does not lock out

    stack = account.deploy("bucket", {"Key": key, "Bucket": bucket(), "Policy": policy("Allow")})
    assert stack["StackStatus"] == "UPDATE_COMPLETE", account.events("bucket")
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"]
    assert statement["Effect"] == "Allow"
    assert account.client("kms").get_key_rotation_status(KeyId=key_arn)["KeyRotationEnabled"] is True


def test_roles_policies_keys_and_aliases(account: Account) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    inline = [{"PolicyName": "inline", "PolicyDocument": document}]
    managed = "arn:aws:iam::aws:policy/ReadOnlyAccess"

    def resources(boundary: str, action: str) -> Json:
        changed = {"Version": "2012-10-17", "Statement": [{**statement, "Action": action}]}
        roles = [{"Ref": "Role"}]
        return {
            "Role": role(
                ManagedPolicyArns=[managed], Policies=inline, PermissionsBoundary=boundary, Description="d"
            ),
            "Policy": {
                "Type": "AWS::IAM::Policy",
                "Properties": {"PolicyName": "beside", "PolicyDocument": changed, "Roles": roles},
            },
            "Managed": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {"PolicyDocument": changed, "Roles": roles, "Description": "m"},
            },
            "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": changed, "PendingWindowInDays": 7}},
            "Alias": {
                "Type": "AWS::KMS::Alias",
                "Properties": {"AliasName": "alias/models", "TargetKeyId": {"Ref": "Key"}},
            },
        }

    iam, kms = account.client("iam"), account.client("kms")
    for boundary, action in (("arn:aws:iam::123456789012:policy/One", "s3:a"), (managed, "s3:b")):
        stack = account.deploy("identity", resources(boundary, action))
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), account.events("identity")
        name = account.physical_id("identity", "Role")
        described = iam.get_role(RoleName=name)["Role"]
        assert described["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
        assert sorted(iam.list_role_policies(RoleName=name)["PolicyNames"]) == ["beside", "inline"]
        beside = iam.get_role_policy(RoleName=name, PolicyName="beside")["PolicyDocument"]
        assert beside["Statement"][0]["Action"] == action
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        own = account.physical_id("identity", "Managed")
        assert {entry["PolicyArn"] for entry in attached} == {managed, own}
        version = iam.get_policy(PolicyArn=own)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=own, VersionId=version)["PolicyVersion"]["Document"]
        assert document["Statement"][0]["Action"] == action
        key = kms.describe_key(KeyId="alias/models")["KeyMetadata"]["KeyId"]
        key_policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
        assert key_policy["Statement"][0]["Action"] == action
    assert account.destroy("identity") == "DELETE_COMPLETE", account.events("identity")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_a_repository_has_a_name_of_its_own_and_its_policies(account: Account) -> None:
    lifecycle = json.dumps(
        {
            "rules": [
                {
                    "rulePriority": 1,
                    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 20},
                    "action": {"type": "expire"},
                }
            ]
        }
    )

    def repository(mutability: str) -> Json:
        return {
            "Type": "AWS::ECR::Repository",
            "Properties": {
                "ImageTagMutability": mutability,
                "ImageScanningConfiguration": {"ScanOnPush": True},
                "LifecyclePolicy": {"LifecyclePolicyText": lifecycle},
                "EmptyOnDelete": True,
            },
        }

    outputs = {"Uri": {"Value": {"Fn::GetAtt": ["Repository", "RepositoryUri"]}}}
    account.deploy("registry", {"Repository": repository("IMMUTABLE")}, Outputs=outputs)
    name, ecr = account.physical_id("registry", "Repository"), account.client("ecr")
    assert name.startswith("registry-repository-")
    uri = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}"
    assert account.outputs("registry") == {"Uri": uri}
    (described,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert described["imageTagMutability"] == "IMMUTABLE"
    assert described["imageScanningConfiguration"] == {"scanOnPush": True}
    assert json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]) == json.loads(
        lifecycle
    )
    account.deploy("registry", {"Repository": repository("MUTABLE")}, Outputs=outputs)
    (described,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert described["imageTagMutability"] == "MUTABLE"


def test_scaling_of_an_endpoint_is_read_back(account: Account) -> None:
    sagemaker = account.client("sagemaker")
    endpoint = "endpoint/moh-mistral/variant/AllTraffic"

    def resources(most: int, crons: list[str]) -> Json:
        target = {
            "MaxCapacity": most,
            "MinCapacity": 1,
            "ResourceId": endpoint,
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            "ServiceNamespace": "sagemaker",
            "RoleARN": "arn:aws:iam::123456789012:role/aws-service-role/x",
            "ScheduledActions": [
                {
                    "ScheduledActionName": f"s{position}",
                    "Schedule": cron,
                    "Timezone": "Asia/Singapore",
                    "ScalableTargetAction": {"MinCapacity": 2, "MaxCapacity": most},
                }
                for position, cron in enumerate(crons)
            ],
        }
        metric = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
        policy = {
            "PolicyName": "concurrency",
            "PolicyType": "TargetTrackingScaling",
            "ScalingTargetId": {"Ref": "Target"},
            "TargetTrackingScalingPolicyConfiguration": {
                "PredefinedMetricSpecification": {"PredefinedMetricType": metric},
                "TargetValue": most * 2,
            },
        }
        return {
            "Target": {"Type": "AWS::ApplicationAutoScaling::ScalableTarget", "Properties": target},
            "Policy": {"Type": "AWS::ApplicationAutoScaling::ScalingPolicy", "Properties": policy},
        }

    account.deploy("early", resources(4, []))
    assert account.reason("early", "Target", "CREATE_FAILED") == (
        "there is no SageMaker endpoint 'moh-mistral' with a variant 'AllTraffic' to scale"
    )

    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "m",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.g5.xlarge",
    }
    container = {"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"}
    arn = "arn:aws:iam::123456789012:role/x"
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=arn, PrimaryContainer=container)
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="moh-mistral", EndpointConfigName="c")

    scaling = account.client("application-autoscaling")
    for most, crons in ((4, ["cron(0 8 * * ? *)", "cron(0 19 * * ? *)"]), (6, ["cron(0 9 * * ? *)"])):
        account.deploy("scaled", resources(most, crons))
        (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == (endpoint, 1, most)
        (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == most * 2
        actions = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
        assert [action["Schedule"] for action in actions] == crons
        assert all(action["ScalableTargetAction"]["MaxCapacity"] == most for action in actions)
    assert account.destroy("scaled") == "DELETE_COMPLETE"
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"] == []


def test_an_endpoint_that_fails_fails_the_stack_with_its_reason(account: Account) -> None:
    ref = {name: {"Fn::GetAtt": [name, f"{name}Name"]} for name in ("Model", "EndpointConfig")}
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": ref["Model"],
        "InitialInstanceCount": 1,
        "InstanceType": "ml.g4dn.xlarge",
    }
    stack = account.deploy(
        "hosted",
        {
            "Role": role("sagemaker.amazonaws.com"),
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {
                    "ExecutionRoleArn": arn_of("Role"),
                    "PrimaryContainer": {"Image": "not.built/here:1"},
                },
            },
            "EndpointConfig": {
                "Type": "AWS::SageMaker::EndpointConfig",
                "Properties": {"ProductionVariants": [variant]},
            },
            "Endpoint": {
                "Type": "AWS::SageMaker::Endpoint",
                "Properties": {
                    "EndpointName": "hosted",
                    "EndpointConfigName": ref["EndpointConfig"],
                    "RetainAllVariantProperties": True,
                },
            },
        },
    )
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE", account.events("hosted")
    assert "not.built/here:1" in account.reason("hosted", "Endpoint", "CREATE_FAILED")
    configurations = account.client("sagemaker").list_endpoint_configs()["EndpointConfigs"]
    assert not [entry for entry in configurations if "hosted" in entry["EndpointConfigName"]]


def test_an_alarm_a_topic_and_a_parameter(account: Account) -> None:
    def resources(threshold: int) -> Json:
        alarm = {
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocation5XXErrors",
            "Dimensions": [{"Name": "EndpointName", "Value": "moh-mistral"}],
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 5,
            "Threshold": threshold,
            "ComparisonOperator": "GreaterThanThreshold",
            "AlarmActions": [{"Ref": "Topic"}],
        }
        parameter = {"Name": "/threshold", "Type": "String", "Value": str(threshold)}
        return {
            "Topic": {
                "Type": "AWS::SNS::Topic",
                "Properties": {"Subscription": [{"Protocol": "email", "Endpoint": "a@b.example"}]},
            },
            "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm},
            "Parameter": {"Type": "AWS::SSM::Parameter", "Properties": parameter},
        }

    for threshold in (3, 4):
        stack = account.deploy("watched", resources(threshold))
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), account.events("watched")
        (alarm,) = account.client("cloudwatch").describe_alarms(
            AlarmNames=[account.physical_id("watched", "Alarm")]
        )["MetricAlarms"]
        assert alarm["Threshold"] == threshold
        topic = account.physical_id("watched", "Topic")
        assert alarm["AlarmActions"] == [topic]
        value = account.client("ssm").get_parameter(Name="/threshold")["Parameter"]["Value"]
        assert value == str(threshold)
    (subscription,) = account.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert subscription["Endpoint"] == "a@b.example"


def test_the_stacks_tags_are_on_its_resources_and_change_with_it(account: Account) -> None:
    resources = {
        "Role": role(),
        "Function": function("def handle(event, context): 0", FunctionName="tagged"),
        "Group": {"Type": "AWS::Logs::LogGroup"},
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"Tags": [{"Key": "own", "Value": "1"}]}},
        "Key": {"Type": "AWS::KMS::Key"},
        "Repository": {"Type": "AWS::ECR::Repository"},
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Parameter": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "x"}},
    }
    for tags in ({"team": "ml", "stage": "one"}, {"team": "ai"}):
        stack = account.deploy("tagged", resources, tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), account.events("tagged")
        physical = {name: account.physical_id("tagged", name) for name in resources}
        group = f"arn:aws:logs:us-east-1:123456789012:log-group:{physical['Group']}"
        repository = f"arn:aws:ecr:us-east-1:123456789012:repository/{physical['Repository']}"
        call = account.client
        arn = "arn:aws:lambda:us-east-1:123456789012:function:tagged"
        assert call("lambda").list_tags(Resource=arn)["Tags"] == tags
        assert call("logs").list_tags_for_resource(resourceArn=group)["tags"] == tags
        topic = call("sns").list_tags_for_resource(ResourceArn=physical["Topic"])["Tags"]
        assert {tag["Key"]: tag["Value"] for tag in topic} == {**tags, "own": "1"}
        key = call("kms").list_resource_tags(KeyId=physical["Key"])["Tags"]
        assert {tag["TagKey"]: tag["TagValue"] for tag in key} == tags
        listed = {
            "ecr": call("ecr").list_tags_for_resource(resourceArn=repository)["tags"],
            "s3": call("s3").get_bucket_tagging(Bucket=physical["Bucket"])["TagSet"],
            "iam": call("iam").list_role_tags(RoleName=physical["Role"])["Tags"],
            "ssm": call("ssm").list_tags_for_resource(
                ResourceType="Parameter", ResourceId=physical["Parameter"]
            )["TagList"],
        }
        for service, entries in listed.items():
            assert {tag["Key"]: tag["Value"] for tag in entries} == tags, service


def test_a_property_that_is_not_applied_fails_the_stack(account: Account) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"WebsiteConfiguration": {"IndexDocument": "i"}}}
    account.deploy("unapplied", {"Bucket": bucket})
    reason = account.reason("unapplied", "Bucket", "CREATE_FAILED")
    assert reason == "the embedded AWS does not apply WebsiteConfiguration of AWS::S3::Bucket"


def test_an_immutable_name_cannot_be_replaced(account: Account) -> None:
    def repository(encryption: str) -> Json:
        properties = {"RepositoryName": "named", "EncryptionConfiguration": {"EncryptionType": encryption}}
        return {"Type": "AWS::ECR::Repository", "Properties": properties}

    account.deploy("named", {"Repository": repository("AES256")})
    stack = account.deploy("named", {"Repository": repository("KMS")})
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Rename named and update the stack again" in account.reason("named", "Repository", "UPDATE_FAILED")
    repositories = account.client("ecr").describe_repositories()["repositories"]
    assert "named" in [entry["repositoryName"] for entry in repositories]
