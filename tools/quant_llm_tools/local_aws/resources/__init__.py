"""The CloudFormation types that the embedded AWS makes, by calls of its own API."""

from __future__ import annotations

from quant_llm_tools.local_aws.resources.basics import Nothing, SsmParameter
from quant_llm_tools.local_aws.resources.buckets import Bucket, BucketPolicy
from quant_llm_tools.local_aws.resources.builds import CodeBuildProject, EcrRepository
from quant_llm_tools.local_aws.resources.functions import (
    EventInvokeConfig,
    EventsRule,
    LambdaFunction,
    LambdaPermission,
    LogGroup,
)
from quant_llm_tools.local_aws.resources.identity import (
    IamManagedPolicy,
    IamPolicy,
    IamRole,
    KmsAlias,
    KmsKey,
)
from quant_llm_tools.local_aws.resources.notices import Budget, Dashboard, Subscription, TopicPolicy
from quant_llm_tools.local_aws.resources.request import Request, ResourceType
from quant_llm_tools.local_aws.resources.sagemaker import (
    Endpoint,
    EndpointConfig,
    InferenceComponent,
    Model,
)
from quant_llm_tools.local_aws.resources.scaling import Alarm, ScalableTarget, ScalingPolicy, Topic
from quant_llm_tools.local_aws.resources.state_machines import StateMachine

RESOURCES: dict[str, ResourceType] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": ScalableTarget(),
    "AWS::ApplicationAutoScaling::ScalingPolicy": ScalingPolicy(),
    "AWS::Budgets::Budget": Budget(),
    "AWS::CDK::Metadata": Nothing(),
    "AWS::CloudWatch::Alarm": Alarm(),
    "AWS::CloudWatch::Dashboard": Dashboard(),
    "AWS::CodeBuild::Project": CodeBuildProject(),
    "AWS::ECR::Repository": EcrRepository(),
    "AWS::Events::Rule": EventsRule(),
    "AWS::IAM::ManagedPolicy": IamManagedPolicy(),
    "AWS::IAM::Policy": IamPolicy(),
    "AWS::IAM::Role": IamRole(),
    "AWS::KMS::Alias": KmsAlias(),
    "AWS::KMS::Key": KmsKey(),
    "AWS::Lambda::EventInvokeConfig": EventInvokeConfig(),
    "AWS::Lambda::Function": LambdaFunction(),
    "AWS::Lambda::Permission": LambdaPermission(),
    "AWS::Logs::LogGroup": LogGroup(),
    "AWS::S3::Bucket": Bucket(),
    "AWS::S3::BucketPolicy": BucketPolicy(),
    "AWS::SNS::Subscription": Subscription(),
    "AWS::SNS::Topic": Topic(),
    "AWS::SNS::TopicPolicy": TopicPolicy(),
    "AWS::SSM::Parameter": SsmParameter(),
    "AWS::SageMaker::Endpoint": Endpoint(),
    "AWS::SageMaker::EndpointConfig": EndpointConfig(),
    "AWS::SageMaker::InferenceComponent": InferenceComponent(),
    "AWS::SageMaker::Model": Model(),
    "AWS::StepFunctions::StateMachine": StateMachine(),
}
"""CloudFormation type -> how it is made. Custom resources and wait conditions are the server's to add: they
wait for an answer that comes in over HTTP."""

__all__ = ["RESOURCES", "Request", "ResourceType"]
