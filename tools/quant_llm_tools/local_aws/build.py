"""One build: its context becomes an image of the embedded AWS, and the log says that nothing was built."""

from __future__ import annotations

import io
import shutil
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from moto.logs.models import logs_backends
from moto.utilities.utils import get_partition

from quant_llm_tools.local_aws import events, images
from quant_llm_tools.local_aws.cloud import Cloud

Json = Any

NOTICE = (
    "the embedded AWS does not build images; it serves the entrypoint of this build context"
    " with llama.cpp from the xllamacpp package"
)


class _PhaseFailed(Exception):
    """A phase failed; the message is its context."""


class Build:
    """A build of a project; `description` is what BatchGetBuilds shows, at any time."""

    def __init__(
        self, cloud: Cloud, account: str, region: str, project: Mapping[str, Json], asked: Mapping[str, Json]
    ) -> None:
        self._cloud, self._account, self._region = cloud, account, region
        name, build = project["name"], str(uuid.uuid4())
        watch_logs = project.get("logsConfig", {}).get("cloudWatchLogs", {})
        group = watch_logs.get("groupName") or f"/aws/codebuild/{name}"
        stream = f"{watch_logs['streamName']}/{build}" if watch_logs.get("streamName") else build
        variables = {entry["name"]: entry for entry in project["environment"].get("environmentVariables", [])}
        variables |= {entry["name"]: entry for entry in asked.get("environmentVariablesOverride", [])}
        self._variables = {name: str(entry["value"]) for name, entry in variables.items()}
        self.description: dict[str, Json] = {
            "id": f"{name}:{build}",
            "arn": _arn("codebuild", region, account, f"build/{name}:{build}"),
            "startTime": time.time(),
            "currentPhase": "SUBMITTED",
            "buildStatus": "IN_PROGRESS",
            "buildComplete": False,
            "projectName": name,
            "phases": [],
            "source": project["source"],
            "artifacts": {"location": ""},
            "environment": {**project["environment"], "environmentVariables": list(variables.values())},
            "serviceRole": project["serviceRole"],
            "logs": {
                "groupName": group,
                "streamName": stream,
                "cloudWatchLogsArn": _arn("logs", region, account, f"log-group:{group}:log-stream:{stream}"),
            },
            "timeoutInMinutes": project["timeoutInMinutes"],
            "queuedTimeoutInMinutes": project["queuedTimeoutInMinutes"],
            "encryptionKey": project["encryptionKey"],
            "initiator": "embedded-aws",
        }

    def run(self) -> None:
        """Go through the phases, then tell EventBridge how it ended."""
        logs, where = logs_backends[self._account][self._region], self.description["logs"]
        logs.ensure_log_group(where["groupName"])
        logs.create_log_stream(where["groupName"], where["streamName"])
        context = self._cloud.work_dir / "builds" / self.description["id"].replace(":", "-")
        status = "SUCCEEDED"
        try:
            with self._phase("DOWNLOAD_SOURCE"):
                self._unpack_source(context)
            with self._phase("PRE_BUILD"):
                self._check_dockerfile(context)
            with self._phase("BUILD"):
                self._log(NOTICE)
                image = images.register(
                    self._variable("REPOSITORY_URI"), self._variable("IMAGE_TAG"), context
                )
                self._push(image)
        except _PhaseFailed:
            status = "FAILED"
            shutil.rmtree(context, ignore_errors=True)
        self.description["phases"].append({"phaseType": "COMPLETED", "startTime": time.time()})
        self.description.update(
            buildStatus=status, buildComplete=True, currentPhase="COMPLETED", endTime=time.time()
        )
        self._announce()

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        phase: dict[str, Json] = {"phaseType": name, "startTime": time.time(), "phaseStatus": "SUCCEEDED"}
        self.description["currentPhase"] = name
        self._log(f"Entering phase {name}")
        try:
            yield
        except (ClientError, OSError, zipfile.BadZipFile, _PhaseFailed) as error:
            phase["phaseStatus"] = "FAILED"
            phase["contexts"] = [{"statusCode": "CLIENT_ERROR", "message": str(error)}]
            self._log(f"Phase complete: {name} State: FAILED: {error}")
            raise _PhaseFailed from error
        finally:
            phase["endTime"] = time.time()
            phase["durationInSeconds"] = int(phase["endTime"] - phase["startTime"])
            self.description["phases"].append(phase)

    def _unpack_source(self, context: Path) -> None:
        source = self.description["source"]
        if source["type"] != "S3":
            raise _PhaseFailed(f"the embedded AWS takes sources from S3 only, got {source['type']}")
        bucket, _, key = source["location"].removeprefix("arn:aws:s3:::").partition("/")
        s3 = self._cloud.client("s3", self._region, self._account)
        self._log(f"Fetching the source from s3://{bucket}/{key}")
        with zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read())) as archive:
            archive.extractall(context)

    def _check_dockerfile(self, context: Path) -> None:
        name = self._variable("DOCKERFILE")
        if not (context / name).is_file():
            raise _PhaseFailed(f"there is no Dockerfile {name} in the source")

    def _variable(self, name: str) -> str:
        if name not in self._variables:
            raise _PhaseFailed(f"the project's environment has no variable {name}")
        return self._variables[name]

    def _push(self, image: images.LocalImage) -> None:
        repository, _, tag = image.uri.partition("/")[2].rpartition(":")
        ecr = self._cloud.client("ecr", self._region, self._account)
        ecr.put_image(
            repositoryName=repository,
            imageTag=tag,
            imageManifest=images.manifest(image.context),
            imageDigest=image.digest,
        )
        self._log(f"Registered {image.uri} as {image.digest}")

    def _log(self, line: str) -> None:
        where = self.description["logs"]
        event = {"timestamp": int(time.time() * 1000), "message": line}
        logs_backends[self._account][self._region].put_log_events(
            where["groupName"], where["streamName"], [event]
        )

    def _announce(self) -> None:
        """The event "CodeBuild Build State Change", whose member names are written with hyphens."""
        build = self.description
        detail = {
            "build-status": build["buildStatus"],
            "project-name": build["projectName"],
            "build-id": build["arn"],
            "current-phase": build["currentPhase"],
            "version": "1",
            "additional-information": {
                "build-complete": True,
                "initiator": build["initiator"],
                "logs": {
                    "group-name": build["logs"]["groupName"],
                    "stream-name": build["logs"]["streamName"],
                },
                "environment": {"environment-variables": build["environment"]["environmentVariables"]},
                "phases": [_hyphenated(phase) for phase in build["phases"]],
            },
        }
        events.emit(
            self._account,
            self._region,
            "aws.codebuild",
            "CodeBuild Build State Change",
            [build["arn"]],
            detail,
        )


def _arn(service: str, region: str, account: str, resource: str) -> str:
    return f"arn:{get_partition(region)}:{service}:{region}:{account}:{resource}"


def _hyphenated(phase: Mapping[str, Json]) -> dict[str, Json]:
    names = {
        "phaseType": "phase-type",
        "phaseStatus": "phase-status",
        "durationInSeconds": "duration-in-seconds",
    }
    described = {new: phase[old] for old, new in names.items() if old in phase}
    if "contexts" in phase:
        described["phase-context"] = [
            f"{entry['statusCode']}: {entry['message']}" for entry in phase["contexts"]
        ]
    return described
