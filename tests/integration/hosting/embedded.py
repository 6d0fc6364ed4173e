"""An embedded AWS with hosting and nothing else: moto's server in a thread, on a port of loopback."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
from botocore.config import Config
from moto.backends import get_backend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from quant_llm_tools.local_aws import hosting, hosting_container, images
from quant_llm_tools.local_aws.runtime import RuntimeMiddleware

REGION = "us-east-1"
BUCKET = "models"
FAKE_REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/fake"
FAKE_IMAGE = f"{FAKE_REPOSITORY}:1"
CONTEXT = Path(__file__).parent / "context"
ROLE = "arn:aws:iam::123456789012:role/hosting"


@dataclass
class EmbeddedAws:
    """The server's address, clients that are closed at the end, and the endpoints' usual way of life."""

    url: str
    state_directory: Path
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            make: Any = boto3.client  # the stubs know each service's own client, not one for any
            self._clients[service] = make(
                service,
                region_name=REGION,
                endpoint_url=self.url,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(
                    retries={"total_max_attempts": 1},
                    parameter_validation=False,  # what is out of bounds is for the server to refuse
                    s3={"addressing_style": "path"},
                ),
            )
        return self._clients[service]

    def put_model(self, files: Mapping[str, bytes], key: str = "model.tar.gz") -> str:
        """A model.tar.gz in S3; returns its URL."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=0) as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                member.mode = 0o644
                tar.addfile(member, io.BytesIO(content))
        return self.put_object(archive.getvalue(), key)

    def put_object(self, content: bytes, key: str) -> str:
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def configure(
        self,
        name: str,
        *,
        url: str | None = None,
        source: Mapping[str, str] | None = None,
        image: str = FAKE_IMAGE,
        environment: Mapping[str, str] | None = None,
        configuration: Mapping[str, Any] | None = None,
        **variant: Any,
    ) -> str:
        """A Model and an EndpointConfig, both called `name`; the latter with all of `configuration`."""
        container: dict[str, Any] = {"Image": image, "Environment": dict(environment or {})}
        if url is not None:
            container["ModelDataUrl"] = url
        if source is not None:
            container["ModelDataSource"] = {"S3DataSource": dict(source)}
        sagemaker = self.client("sagemaker")
        sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
        entry = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InstanceType": "ml.g5.xlarge",
            "InitialInstanceCount": 1,
            **variant,
        }
        sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[entry], **(configuration or {})
        )
        return name

    def settle(self, endpoint: str, *, within: float = 20) -> dict[str, Any]:
        """DescribeEndpoint as soon as nothing is under way any more."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            description: dict[str, Any] = self.client("sagemaker").describe_endpoint(EndpointName=endpoint)
            if description["EndpointStatus"] not in ("Creating", "Updating", "Deleting"):
                return description
            time.sleep(0.05)
        raise AssertionError(f"still {description['EndpointStatus']} after {within} seconds")

    def deploy(self, endpoint: str, **configuration: Any) -> dict[str, Any]:
        """Model, EndpointConfig and Endpoint; returns DescribeEndpoint of the settled endpoint."""
        name = self.configure(endpoint, **configuration)
        self.client("sagemaker").create_endpoint(EndpointName=endpoint, EndpointConfigName=name)
        return self.settle(endpoint)

    def log_lines(self, endpoint: str) -> list[str]:
        logs = self.client("logs")
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):  # nothing has been written yet
            events = logs.filter_log_events(logGroupName=f"/aws/sagemaker/Endpoints/{endpoint}")
            return [event["message"] for event in events["events"]]
        return []

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def create_role(iam: Any, *, name: str = "hosting", may: tuple[str, ...] = ("s3:*", "ecr:*")) -> str:
    """A role for SageMaker on an embedded AWS that enforces IAM; returns its ARN, ROLE unless renamed."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    allow = {"Effect": "Allow", "Action": may, "Resource": "*"}

    def document(statement: Mapping[str, Any]) -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=document(allow))
    return arn


class _Handler(MotoRequestHandler):
    """Without a line for each request in the output of a test that fails."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@contextlib.contextmanager
def running(directory: Path, **times: float) -> Iterator[EmbeddedAws]:
    """The embedded AWS with a bucket, the fake image, and `times` that are short unless given."""
    application = RuntimeMiddleware(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    embedded = EmbeddedAws(f"http://127.0.0.1:{server.port}", directory)
    settings = hosting.HostingSettings(
        state_directory=directory,
        client=lambda service, _region, _role: embedded.client(service),
        restart_seconds=(0.1, 0.2),
        **{"stop_seconds": 1, "response_seconds": 20, "stream_seconds": 20, **times},
    )
    hosting.install(settings)
    images.register(FAKE_REPOSITORY, "1", CONTEXT)
    embedded.client("s3").create_bucket(Bucket=BUCKET)
    try:
        with mock.patch.object(hosting_container, "_PING_INTERVAL", 0.02):
            yield embedded
    finally:
        hosting.stop_all()
        server.shutdown()
        thread.join()
        server.server_close()
        embedded.close()
        images.forget_all()
        for service in ("sagemaker", "logs", "s3", "sns", "ecr"):
            get_backend(service).reset()
