"""The build that a deploy starts and waits for, however long it takes."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_codebuild as codebuild
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from quant_llm.python_function import PythonFunction

# Neither of the custom resources waits for the build; without this a lost answer blocks for an hour.
_ANSWER_TIMEOUT = cdk.Duration.minutes(5)


class ImageBuild(Construct):
    """Starts the project's build unless `repository` has the image `tag`; complete when the image is there.

    `uri` names the image by its digest. A failed build fails the deploy with the end of its log.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        project: codebuild.Project,
        repository: ecr.Repository,
        build_logs: logs.LogGroup,
        tag: str,
    ) -> None:
        super().__init__(scope, construct_id)
        starter = PythonFunction(
            self,
            "Starter",
            package="quant_llm_image_build",
            description="Starts the image build and tells CloudFormation how it ended",
            timeout=cdk.Duration.minutes(1),
            memory_mib=256,
        )
        repository.grant_read(starter.function)
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
        named = {
            "RepositoryName": repository.repository_name,
            "RepositoryUri": repository.repository_uri,
            "Tag": tag,
        }
        # A custom resource may take an hour, a wait condition twelve. A condition can't be waited for again,
        # so each tag has its own.
        handle = cdk.CfnWaitConditionHandle(self, f"Handle{tag[:16]}")
        started = cdk.CustomResource(
            self,
            "Resource",
            service_token=starter.function.function_arn,
            resource_type="Custom::EngineImage",
            properties={**named, "ProjectName": project.project_name, "WaitHandle": handle.ref},
            service_timeout=_ANSWER_TIMEOUT,
        )
        # Permissions and the rule are resources of their own: a build must not start before they are there.
        started.node.add_dependency(project, starter, ended)
        pushed = cdk.CfnWaitCondition(
            self,
            f"Pushed{tag[:16]}",
            handle=handle.ref,
            timeout=str(cdk.Duration.hours(12).to_seconds()),
        )
        pushed.node.add_dependency(started)
        image = cdk.CustomResource(
            self,
            "Pushed",
            service_token=starter.function.function_arn,
            resource_type="Custom::EngineImageDigest",
            properties=named,
            service_timeout=_ANSWER_TIMEOUT,
        )
        image.node.add_dependency(pushed)
        self.uri = image.get_att_string("ImageUri")
