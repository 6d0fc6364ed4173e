"""The image of an inference engine: built in the account by CodeBuild, named by the hash of what goes in."""

from __future__ import annotations

import hashlib
import json
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.engines import EngineBuild
from quant_llm.paths import CONTAINER, LEFTOVERS
from quant_llm.python_function import PythonFunction

# A custom resource waits an hour at most; a build that is cut off before says why.
BUILD_TIMEOUT = cdk.Duration.minutes(55)


class EngineImage(Construct):
    """An ECR repository, the CodeBuild project that fills it, and the image that belongs to this commit.

    The tag is the hash of the Dockerfile, its context and the build arguments, so the image is built once for
    each of them, and an unchanged commit builds nothing. `uri` names the image by digest.
    """

    def __init__(self, scope: Construct, construct_id: str, *, build: EngineBuild, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self.repository = ecr.Repository(
            self,
            "Resource",
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            encryption=ecr.RepositoryEncryption.KMS,
            encryption_key=key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            empty_on_delete=True,
            lifecycle_rules=[
                ecr.LifecycleRule(description="keep enough images to roll back", max_image_count=20)
            ],
        )
        others = [
            folder.name
            for folder in sorted(CONTAINER.iterdir())
            if folder.is_dir() and folder.name not in (build.folder, "sagemaker")
        ]
        source = s3_assets.Asset(self, "Source", path=str(CONTAINER), exclude=[*LEFTOVERS, *others])
        self.tag = _tag(source.asset_hash, build)
        build_logs = logs.LogGroup(
            self,
            "BuildLogs",
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        project = self._project(build, source, key, build_logs)
        self.uri = self._image_of(project, build_logs)

    def _project(
        self, build: EngineBuild, source: s3_assets.Asset, key: kms.IKey, build_logs: logs.LogGroup
    ) -> codebuild.Project:
        variables = {
            "DOCKERFILE": f"{build.folder}/Dockerfile",
            "IMAGE_TAG": self.tag,
            "REPOSITORY_URI": self.repository.repository_uri,
        }
        project = codebuild.Project(
            self,
            "Build",
            description=f"Builds the {build.engine} image",
            source=codebuild.Source.s3(bucket=source.bucket, path=source.s3_object_key),
            build_spec=codebuild.BuildSpec.from_object(_build_spec(build)),
            environment=codebuild.BuildEnvironment(
                build_image=codebuild.LinuxBuildImage.AMAZON_LINUX_2023_5,
                # The small sizes run out of memory in the CUDA compiler.
                compute_type=codebuild.ComputeType.X_LARGE,
                privileged=True,  # a Docker daemon inside the build container needs it
            ),
            environment_variables={
                name: codebuild.BuildEnvironmentVariable(value=value) for name, value in variables.items()
            },
            encryption_key=key,
            grant_report_group_permissions=False,
            timeout=BUILD_TIMEOUT,
            queued_timeout=cdk.Duration.minutes(30),
            logging=codebuild.LoggingOptions(
                cloud_watch=codebuild.CloudWatchLoggingOptions(log_group=build_logs)
            ),
        )
        self.repository.grant_pull_push(project)
        self._acknowledge(project)
        return project

    def _acknowledge(self, project: codebuild.Project) -> None:
        project_id = cdk.Stack.of(self).get_logical_id(cast("cdk.CfnElement", project.node.default_child))
        stack = cdk.Stack.of(self)
        reasons = {
            "Resource::*": "ecr:GetAuthorizationToken knows no resources",
            "Action::s3:GetBucket*": "Read access to the one object that holds the build's source",
            "Action::s3:GetObject*": "Read access to the one object that holds the build's source",
            "Action::s3:List*": "Read access to the one object that holds the build's source",
            "Action::kms:GenerateDataKey*": "Both forms of one action, on the stack's own key",
            "Action::kms:ReEncrypt*": "Both directions of one action, on the stack's own key",
            f"Resource::arn:<AWS::Partition>:logs:{stack.region}:{stack.account}"
            f":log-group:/aws/codebuild/<{project_id}>:*": "The streams of the project's own log group",
        }
        for finding, reason in reasons.items():
            acknowledge(project, f"AwsSolutions-IAM5[{finding}]", reason)

    def _image_of(self, project: codebuild.Project, build_logs: logs.LogGroup) -> str:
        """The custom resource that is complete when the build is; returns the image's URI by digest."""
        starter = PythonFunction(
            self,
            "Starter",
            package="quant_llm_image_build",
            description="Starts the image build and tells CloudFormation how it ended",
            timeout=cdk.Duration.minutes(1),
            memory_mib=256,
        )
        self.repository.grant_read(starter.function)
        build_logs.grant_read(starter.function)
        starter.function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["codebuild:StartBuild", "codebuild:BatchGetBuilds"], resources=[project.project_arn]
            )
        )
        ended = events.Rule(
            self,
            "Ended",
            description="However a build ends, CloudFormation is told",
            event_pattern=events.EventPattern(
                source=["aws.codebuild"],
                detail_type=["CodeBuild Build State Change"],
                detail={
                    "project-name": [project.project_name],
                    "build-status": ["SUCCEEDED", "FAILED", "FAULT", "STOPPED", "TIMED_OUT"],
                },
            ),
            targets=[targets.LambdaFunction(starter.function)],
        )
        image = cdk.CustomResource(
            self,
            "Image",
            service_token=starter.function.function_arn,
            resource_type="Custom::EngineImage",
            properties={
                "ProjectName": project.project_name,
                "RepositoryName": self.repository.repository_name,
                "RepositoryUri": self.repository.repository_uri,
                "Tag": self.tag,
            },
        )
        # Permissions and the rule are resources of their own: a build must not start before they are there.
        image.node.add_dependency(project, starter, ended)
        return image.get_att_string("ImageUri")


def _build_spec(build: EngineBuild) -> dict[str, object]:
    arguments = "".join(f" --build-arg {name}='{value}'" for name, value in sorted(build.arguments.items()))
    login = 'docker login --username AWS --password-stdin "${REPOSITORY_URI%%/*}"'
    image = '"$REPOSITORY_URI:$IMAGE_TAG"'
    return {
        "version": "0.2",
        "phases": {
            "pre_build": {"commands": [f"aws ecr get-login-password | {login}"]},
            "build": {
                "commands": [
                    f'docker build --file "$DOCKERFILE" --tag {image}{arguments} .',
                    f"docker push {image}",
                ]
            },
        },
    }


def _tag(context_hash: str, build: EngineBuild) -> str:
    arguments = json.dumps(build.arguments, sort_keys=True)
    return hashlib.sha256(f"{context_hash}\n{arguments}".encode()).hexdigest()[:40]
