"""CodeBuild's API on moto: projects that can be updated, builds that are remembered as they were started."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from moto.codebuild import responses
from moto.codebuild.exceptions import InvalidInputException, ResourceNotFoundException
from moto.codebuild.models import CodeBuildBackend
from moto.codebuild.responses import CodeBuildResponse
from moto.core.responses import ActionResult
from moto.core.utils import get_service_model

from quant_llm_tools.local_aws.build import Build
from quant_llm_tools.local_aws.cloud import Cloud, Seam

Json = Any

# Of a project, what moto drops of a request.
_DROPPED = ("encryptionKey", "concurrentBuildLimit")


def seams(cloud: Cloud) -> list[Seam]:
    """moto's builds succeed when looked at and keep no variables; its projects cannot be updated."""
    create, stop = CodeBuildResponse.create_project, CodeBuildResponse.stop_build

    def create_project(response: CodeBuildResponse) -> ActionResult:
        answer = create(response)
        asked = json.loads(response.body)
        project = response.codebuild_backend.codebuild_projects[asked["name"]].project_metadata
        project.update({name: asked[name] for name in _DROPPED if name in asked})
        return answer

    def update_project(response: CodeBuildResponse) -> ActionResult:
        backend, name = response.codebuild_backend, response._get_param("name")
        _project(backend, name)
        history = backend.build_history[name]
        old = backend.codebuild_projects.pop(name)
        try:
            return create_project(response)
        except Exception:
            backend.codebuild_projects[name] = old
            raise
        finally:
            backend.build_history[name] = history

    def start_build(response: CodeBuildResponse) -> ActionResult:
        backend, asked = response.codebuild_backend, json.loads(response.body)
        project = _project(backend, asked["projectName"])
        for started in _builds(backend):
            if asked.get("idempotencyToken") and started.get("token") == asked["idempotencyToken"]:
                return ActionResult({"build": started})
        build = Build(cloud, backend.account_id, backend.region_name, project, asked)
        build.description["token"] = asked.get("idempotencyToken")
        name = project["name"]
        backend.build_history[name].append(build.description["id"])
        backend.build_metadata_history[name].append(build.description)
        cloud.spawn(f"build {build.description['id']}", build.run)
        return ActionResult({"build": build.description})

    def batch_get_builds(response: CodeBuildResponse) -> ActionResult:
        known = {build["id"]: build for build in _builds(response.codebuild_backend)}
        known |= {build["arn"]: build for build in known.values()}
        asked = response._get_param("ids")
        return ActionResult(
            {
                "builds": [known[name] for name in asked if name in known],
                "buildsNotFound": [name for name in asked if name not in known],
            }
        )

    def stop_build(response: CodeBuildResponse) -> ActionResult:
        for build in _builds(response.codebuild_backend):
            if build["id"] == response._get_param("id") and build["buildComplete"]:
                return ActionResult({"build": build})
        return stop(response)

    return [
        (CodeBuildResponse, "create_project", create_project),
        (CodeBuildResponse, "update_project", update_project),
        (CodeBuildResponse, "start_build", start_build),
        (CodeBuildResponse, "batch_get_builds", batch_get_builds),
        (CodeBuildResponse, "stop_build", stop_build),
        (responses, "_validate_required_params_environment", _check_environment),
    ]


def _check_environment(environment: Mapping[str, Json]) -> None:
    """moto has its own short list of compute types; botocore's model has them all."""
    model = get_service_model("codebuild")
    for member, shape in (("type", "EnvironmentType"), ("computeType", "ComputeType")):
        allowed = model.shape_for(shape).metadata["enum"]
        if environment[member] not in allowed:
            raise InvalidInputException(f"Invalid environment {member}: {environment[member]}")


def _project(backend: CodeBuildBackend, name: str) -> dict[str, Json]:
    if name not in backend.codebuild_projects:
        raise ResourceNotFoundException(f"Project cannot be found: {name}")
    return backend.codebuild_projects[name].project_metadata


def _builds(backend: CodeBuildBackend) -> Iterator[dict[str, Json]]:
    for builds in backend.build_metadata_history.values():
        yield from builds
