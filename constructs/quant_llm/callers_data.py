"""What a model's callers leave in S3 and are given there: asynchronous requests, and what is captured."""

from __future__ import annotations

from typing import Final, cast

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

from quant_llm.acknowledge import acknowledge
from quant_llm.agency import AgencyConfig, CaptureConfig
from quant_llm.data_bucket import DataBucket
from quant_llm.names import ASYNC_PREFIX, CAPTURE_PREFIX

ASYNC_DAYS: Final = 30
"""Days after which requests and answers of asynchronous endpoints are deleted."""

_Configuration = sagemaker.CfnEndpointConfig


def keep_days(agency: AgencyConfig) -> dict[str, int]:
    """The prefixes that the agency's models write under, and for how many days; empty if none writes."""
    kept = {}
    for model in agency.models:
        if model.is_async:
            kept[f"{ASYNC_PREFIX}/{model.name}/"] = ASYNC_DAYS
        if model.capture is not None:
            kept[f"{CAPTURE_PREFIX}/{model.name}/"] = model.capture.keep_days
    return kept


class AsyncRequests(Construct):
    """Where one model's requests, answers and failures lie, and the two topics that tell of their ends.

    `role` is the endpoint's: SageMaker reads and writes in its name. `concurrency` is the number of requests
    that an instance is sent at a time.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        data: DataBucket,
        model_name: str,
        role: iam.Role,
        concurrency: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self._data = data
        self._concurrency = concurrency
        self._inputs, self._outputs, self._failures = (
            f"{ASYNC_PREFIX}/{model_name}/{kind}/" for kind in ("input", "output", "failure")
        )
        self.success, self.error = (
            sns.Topic(self, name, master_key=data.key, enforce_ssl=True) for name in ("Success", "Error")
        )
        data.grant(role, read=(self._inputs,), write=(self._outputs, self._failures))
        for topic in (self.success, self.error):
            topic.grant_publish(role)
        _acknowledge_prefixes(role, data, self._inputs, self._outputs, self._failures)
        acknowledge(
            role,
            "AwsSolutions-IAM5[Action::kms:GenerateDataKey*]",
            "Both forms of one action, on the key of the agency's own requests and answers.",
        )

    @property
    def input_url(self) -> str:
        """Where callers put their requests."""
        return self._data.url(self._inputs)

    @property
    def configuration(self) -> _Configuration.AsyncInferenceConfigProperty:
        """For the endpoint's configuration."""
        return _Configuration.AsyncInferenceConfigProperty(
            client_config=_Configuration.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=self._concurrency
            ),
            output_config=_Configuration.AsyncInferenceOutputConfigProperty(
                kms_key_id=self._data.key.key_arn,
                s3_output_path=self._data.url(self._outputs),
                s3_failure_path=self._data.url(self._failures),
                notification_config=_Configuration.AsyncInferenceNotificationConfigProperty(
                    success_topic=self.success.topic_arn, error_topic=self.error.topic_arn
                ),
            ),
        )

    def grant_invoke(self, grantee: iam.IGrantable) -> None:
        """Let an application put requests, and read answers and failures."""
        self._data.grant(grantee, read=(self._outputs, self._failures), write=(self._inputs,))


def capture_configuration(
    data: DataBucket, model_name: str, capture: CaptureConfig, role: iam.Role
) -> _Configuration.DataCaptureConfigProperty:
    """A share of the requests with their answers, as JSON lines; `role` may write them and nothing else."""
    prefix = f"{CAPTURE_PREFIX}/{model_name}/"
    data.grant(role, write=(prefix,))
    _acknowledge_prefixes(role, data, prefix)
    return _Configuration.DataCaptureConfigProperty(
        enable_capture=True,
        initial_sampling_percentage=capture.percent,
        destination_s3_uri=data.url(prefix),
        kms_key_id=data.key.key_arn,
        capture_options=[
            _Configuration.CaptureOptionProperty(capture_mode=mode) for mode in ("Input", "Output")
        ],
        # What is named here is kept as text, everything else in base64.
        capture_content_type_header=_Configuration.CaptureContentTypeHeaderProperty(
            json_content_types=["application/json"]
        ),
    )


def _acknowledge_prefixes(role: iam.Role, data: DataBucket, *prefixes: str) -> None:
    bucket = cast("cdk.CfnElement", data.bucket.node.default_child)
    for prefix in prefixes:
        acknowledge(
            role,
            f"AwsSolutions-IAM5[Resource::<{cdk.Stack.of(role).get_logical_id(bucket)}.Arn>/{prefix}*]",
            "SageMaker and the callers name the objects; the prefix is the one model's.",
        )
