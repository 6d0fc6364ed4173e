"""The embedded AWS as one server in this process: moto with its seams replaced, and the hub beside it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import moto.iam.models
from flask import Flask
from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.sagemaker.models import sagemaker_backends
from werkzeug.serving import make_server

from quant_llm_tools.local_aws import (
    bucket_policy,
    budgets,
    codebuild,
    embedded_metrics,
    events,
    execution_role,
    hosting,
    hosting_component_api,
    images,
    price_list,
    processing,
    scaling_targets,
    service_quotas,
    unknown_actions,
    uploads,
)
from quant_llm_tools.local_aws.access import enforcement
from quant_llm_tools.local_aws.cloud import DEFAULT_REGION, Cloud
from quant_llm_tools.local_aws.cloudformation import api
from quant_llm_tools.local_aws.cloudformation.answers import Answers
from quant_llm_tools.local_aws.cloudformation.custom_resource import CustomResource
from quant_llm_tools.local_aws.cloudformation.schemas import is_custom
from quant_llm_tools.local_aws.cloudformation.stacks import Stacks
from quant_llm_tools.local_aws.cloudformation.wait_condition import WaitCondition, WaitConditionHandle
from quant_llm_tools.local_aws.hosting_settings import HostingSettings
from quant_llm_tools.local_aws.hub import HubServer
from quant_llm_tools.local_aws.lambda_runtime import LambdaRuntime
from quant_llm_tools.local_aws.resources import RESOURCES, ResourceType
from quant_llm_tools.local_aws.runtime import RuntimeMiddleware
from quant_llm_tools.local_aws.step_functions.service import StepFunctions

Application = Callable[..., Iterable[bytes]]

STATUS_PATH = "/_quantllm/status"
_LOOPBACK = "127.0.0.1"
# Moto's state is the process's, so there can be one at a time.
_running = threading.Lock()


class LocalAws:
    """The embedded AWS and the hub stand-in, running inside a `with` block.

    `port` 0 takes a free one. `hub` is a HubServer that is not started yet; None serves the default
    repositories. Files go below `directory`, the system's directory for temporary files if None. At the end
    they are removed, and every process that was started is ended.
    """

    def __init__(self, *, port: int = 0, hub: HubServer | None = None, directory: Path | None = None) -> None:
        self._port = port
        self._hub = hub
        self._directory = directory
        self._resources = ExitStack()
        self._cloud: Cloud | None = None

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            self._start(resources)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def endpoint_url(self) -> str:
        """`http://localhost:<port>`; the CDK's template URLs need the name, not the address."""
        return self._running_cloud.endpoint_url

    @property
    def hub_url(self) -> str:
        """What HF_ENDPOINT must be."""
        return self._running_cloud.hub_url

    @property
    def hub(self) -> HubServer:
        """The stand-in of the hub, for its faults and its log of requests."""
        if self._hub is None:
            raise RuntimeError("the hub stand-in runs inside the with block only")
        return self._hub

    def environment(self, region: str = DEFAULT_REGION) -> dict[str, str]:
        """The variables that point the CDK, boto3 and Hugging Face tools here."""
        return self._running_cloud.environment(region)

    @property
    def _running_cloud(self) -> Cloud:
        if self._cloud is None:
            raise RuntimeError("the embedded AWS runs inside its with block only")
        return self._cloud

    def _start(self, resources: ExitStack) -> None:
        if not _running.acquire(blocking=False):
            raise RuntimeError("an embedded AWS runs in this process already")
        resources.callback(_running.release)
        cloud = self._cloud = Cloud(self._directory)
        resources.callback(cloud.close)
        # Not made before: it takes its port when it is made.
        self._hub = resources.enter_context(self._hub or HubServer())
        cloud.hub_url = self._hub.url
        resources.callback(images.forget_all)

        BackendDict.reset()
        resources.callback(BackendDict.reset)
        runtime, answers = LambdaRuntime(cloud), Answers(cloud)
        stacks = Stacks(cloud, _resource_types(answers, runtime))
        step_functions = StepFunctions(cloud, runtime)
        seams = [*runtime.seams(), *events.seams(runtime), *codebuild.seams(cloud), *bucket_policy.seams()]
        seams += [*scaling_targets.seams(), *processing.seams(cloud)]
        seams += [*service_quotas.seams(), *unknown_actions.seams(), *uploads.seams(), *budgets.seams()]
        seams += embedded_metrics.seams()
        # Roles may have AWS's managed policies, which moto knows but does not load by itself.
        seams.append((moto.iam.models, "load_iam_aws_managed_policies", lambda: True))
        seams += step_functions.seams()
        for seam in seams:
            resources.enter_context(_replaced(*seam))
        for seam in enforcement.seams():
            resources.enter_context(_replaced(*seam))

        apis = price_list.middleware(answers.middleware(_moto(stacks)))
        app = _with_status(enforcement.CheckedInvocations(RuntimeMiddleware(apis)), stacks)
        server = make_server(_LOOPBACK, self._port, app, threaded=True, request_handler=_QuietHandler)
        resources.callback(server.server_close)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="embedded AWS", daemon=True)
        thread.start()
        resources.callback(thread.join)
        resources.callback(server.shutdown)
        cloud.endpoint_url = f"http://localhost:{server.server_port}"

        resources.callback(cloud.stop)
        hosting.install(
            HostingSettings(
                state_directory=cloud.work_dir / "hosting",
                client=partial(execution_role.client, cloud),
            )
        )
        resources.callback(hosting.stop_all)
        resources.callback(step_functions.stop)
        # First of all: what waits for an endpoint or a function must not take its end for a failure.
        resources.callback(cloud.stopping.set)


def _resource_types(answers: Answers, runtime: LambdaRuntime) -> Callable[[str], ResourceType | None]:
    custom = CustomResource(answers, runtime.invoke_arn)
    waiting: dict[str, ResourceType] = {
        "AWS::CloudFormation::WaitCondition": WaitCondition(answers),
        "AWS::CloudFormation::WaitConditionHandle": WaitConditionHandle(answers),
    }

    def resource_type(name: str) -> ResourceType | None:
        return custom if is_custom(name) else waiting.get(name) or RESOURCES.get(name)

    return resource_type


@contextmanager
def _replaced(owner: Any, name: str, replacement: Any) -> Iterator[None]:
    missing = object()
    original = vars(owner).get(name, missing)
    setattr(owner, name, replacement)
    try:
        yield
    finally:
        if original is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


def _moto(stacks: Stacks) -> Application:
    """moto's server with CloudFormation replaced: it asks a function for the application of each service."""

    def create_app(service: Any) -> Flask:
        return api.application(stacks) if service == "cloudformation" else create_backend_app(service)

    application: Application = DomainDispatcherApplication(create_app)
    return application


def _with_status(app: Application, stacks: Stacks) -> Application:
    """Adds the page that `quantllm local status` reads."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != STATUS_PATH:
            return app(environ, start_response)
        body = json.dumps(_status(stacks)).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    return answer


def _status(stacks: Stacks) -> dict[str, Any]:
    return {
        "stacks": [
            {
                "name": stack.name,
                "account": stack.account,
                "region": stack.region,
                "status": stack.status,
                "reason": stack.status_reason,
            }
            for stack in stacks.all()
            if stack.deleted is None
        ],
        "endpoints": [
            {
                "name": endpoint.endpoint_name,
                "account": account,
                "region": region,
                "status": endpoint.endpoint_status,
                "reason": endpoint.failure_reason,
            }
            for account, regions in list(sagemaker_backends.items())
            for region, backend in list(regions.items())
            for endpoint in list(backend.endpoints.values())
        ],
        "components": [
            {
                "name": component.name,
                "account": component.endpoint.account,
                "region": component.endpoint.region,
                "status": component.status,
                "copies": component.copies,
                "reason": component.failure_reason,
            }
            for component in hosting_component_api.all_components()
        ],
    }


class _QuietHandler(MotoRequestHandler):
    """Without a line in the log for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""
