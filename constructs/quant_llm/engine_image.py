"""The image of an inference engine: built in the account by CodeBuild, named by the hash of what goes in."""

from __future__ import annotations

import hashlib
import json
import shlex
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.engines import EngineBuild
from quant_llm.image_build import ImageBuild
from quant_llm.image_settings import ImageSettings
from quant_llm.paths import CONTAINER

BUILD_TIMEOUT = cdk.Duration.hours(8)  # CodeBuild's own limit


class EngineImage(Construct):
    """An ECR repository, the CodeBuild project that fills it, and the image that belongs to this commit.

    The tag is the hash of the Dockerfile, its context and the build arguments, so the image is built once for
    each of them, and an unchanged commit builds nothing. The context is what the Dockerfile's `.dockerignore`
    leaves of the folder `container/`. `uri` names the image by digest.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        build: EngineBuild,
        key: kms.IKey,
        settings: ImageSettings,
    ) -> None:
        super().__init__(scope, construct_id)
        arguments = {**build.arguments, **settings.arguments(build.engine)}
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
        source = s3_assets.Asset(
            self,
            "Source",
            path=str(CONTAINER),
            exclude=build.dockerignore.read_text(encoding="utf-8").splitlines(),
            ignore_mode=cdk.IgnoreMode.DOCKER,
        )
        self.tag = _tag(source.asset_hash, arguments)
        build_logs = logs.LogGroup(
            self,
            "BuildLogs",
            retention=logs.RetentionDays.ONE_YEAR,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        project = codebuild.Project(
            self,
            "Build",
            description=f"Builds the {build.engine} image",
            source=codebuild.Source.s3(bucket=source.bucket, path=source.s3_object_key),
            build_spec=codebuild.BuildSpec.from_object(_build_spec(arguments)),
            environment=codebuild.BuildEnvironment(
                build_image=codebuild.LinuxBuildImage.AMAZON_LINUX_2023_5,
                compute_type=settings.compute,
                privileged=True,  # a Docker daemon inside the build container needs it
            ),
            environment_variables={
                name: codebuild.BuildEnvironmentVariable(value=value)
                for name, value in {
                    "DOCKERFILE": f"{build.folder}/Dockerfile",
                    "IMAGE_TAG": self.tag,
                    "REPOSITORY_URI": self.repository.repository_uri,
                }.items()
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
        _acknowledge(project)
        self.uri = ImageBuild(
            self,
            "Image",
            project=project,
            repository=self.repository,
            build_logs=build_logs,
            tag=self.tag,
        ).uri


def _build_spec(arguments: dict[str, str]) -> dict[str, object]:
    options = "".join(
        f" --build-arg {shlex.quote(f'{name}={value}')}" for name, value in sorted(arguments.items())
    )
    login = 'docker login --username AWS --password-stdin "${REPOSITORY_URI%%/*}"'
    image = '"$REPOSITORY_URI:$IMAGE_TAG"'
    return {
        "version": "0.2",
        "phases": {
            "pre_build": {"commands": [f"aws ecr get-login-password | {login}"]},
            "build": {
                "commands": [
                    f'docker build --file "$DOCKERFILE" --tag {image}{options} .',
                    f"docker push {image}",
                ]
            },
        },
    }


def _tag(context_hash: str, arguments: dict[str, str]) -> str:
    return hashlib.sha256(f"{context_hash}\n{json.dumps(arguments, sort_keys=True)}".encode()).hexdigest()[
        :40
    ]


def _acknowledge(project: codebuild.Project) -> None:
    stack = cdk.Stack.of(project)
    project_id = stack.get_logical_id(cast("cdk.CfnElement", project.node.default_child))
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
