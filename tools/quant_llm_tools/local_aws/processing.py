"""SageMaker's processing jobs on moto: a job is its image's real entrypoint, as a process of this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import FakeProcessingJob
from moto.sagemaker.responses import SageMakerResponse

from quant_llm_tools.local_aws.cloud import Cloud, Seam
from quant_llm_tools.local_aws.processing_run import Run

Json = Any


class ProcessingJob(FakeProcessingJob):
    """A job that goes through SageMaker's states; described are what was asked, and how it went."""

    def __init__(
        self, cloud: Cloud, account: str, region: str, asked: Mapping[str, Json], now: Callable[[], float]
    ) -> None:
        """Begin at once, in the background."""
        super().__init__(
            app_specification=asked["AppSpecification"],
            experiment_config=asked.get("ExperimentConfig", {}),
            network_config=asked.get("NetworkConfig", {}),
            processing_inputs=asked.get("ProcessingInputs", []),
            processing_job_name=asked["ProcessingJobName"],
            processing_output_config=asked.get("ProcessingOutputConfig", {}),
            account_id=account,
            region_name=region,
            role_arn=asked["RoleArn"],
            tags=asked.get("Tags", []),
            stopping_condition=asked.get("StoppingCondition", {}),
        )
        self.processing_job_status = "InProgress"
        self._now = now
        self._told: dict[str, Json] = {"CreationTime": now(), "LastModifiedTime": now()}
        self._asked = {name: value for name, value in asked.items() if name != "Tags"}
        self._run = Run(cloud, account, region, asked)
        cloud.spawn(f"processing job {self.processing_job_name}", self._work)

    @property
    def response_object(self) -> dict[str, Json]:
        """The answer of DescribeProcessingJob."""
        status = {"ProcessingJobArn": self.arn, "ProcessingJobStatus": self.processing_job_status}
        return {**self._asked, **status, **self._told}

    def stop(self) -> None:
        """Ask the container to end; ValidationError when the job has ended."""
        if self.processing_job_status != "InProgress":
            raise ValidationError(f"The job is in state {self.processing_job_status} and can not be stopped.")
        self.processing_job_status = "Stopping"
        self._run.stop()

    def _work(self) -> None:
        self._told["ProcessingStartTime"] = self._now()
        outcome = self._run.work()
        ended = {"ExitMessage": outcome.exit_message, "FailureReason": outcome.failure_reason}
        self._told |= {name: text for name, text in ended.items() if text}
        self._told |= {"ProcessingEndTime": self._now(), "LastModifiedTime": self._now()}
        self.processing_job_status = outcome.status


def seams(cloud: Cloud) -> list[Seam]:
    """moto's jobs are Completed when they are created, and do nothing."""

    def create(response: SageMakerResponse) -> ActionResult:
        backend, asked = response.sagemaker_backend, json.loads(response.body)
        name = asked["ProcessingJobName"]
        if name in backend.processing_jobs:
            raise ValidationError(f"Job name must be unique within an AWS account and region: {name}")
        job = ProcessingJob(cloud, backend.account_id, backend.region_name, asked, time.time)
        backend.processing_jobs[name] = job
        return ActionResult({"ProcessingJobArn": job.arn})

    def stop(response: SageMakerResponse) -> ActionResult:
        name = response._get_param("ProcessingJobName")
        job = response.sagemaker_backend.processing_jobs.get(name)
        if not isinstance(job, ProcessingJob):
            raise ValidationError(f"Could not find processing job '{name}'.")
        job.stop()
        return EmptyResult()

    return [
        (SageMakerResponse, "create_processing_job", create),
        (SageMakerResponse, "stop_processing_job", stop),
    ]
