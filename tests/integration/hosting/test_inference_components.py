"""Inference components: copies that come and go behind an endpoint, down to none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quant_llm_tools.local_aws import hosting
from tests.integration.hosting.embedded import FAKE_IMAGE, ROLE, EmbeddedAws, running

VARIANT = {
    "VariantName": "AllTraffic",
    "InstanceType": "ml.g5.xlarge",
    "InitialInstanceCount": 1,
    "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2},
}


class Component:
    """An endpoint without a model, and a component on it."""

    def __init__(self, aws: EmbeddedAws, name: str) -> None:
        self.aws = aws
        self.name = name
        self.sagemaker = aws.client("sagemaker")
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ExecutionRoleArn=ROLE, ProductionVariants=[VARIANT]
        )
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        assert aws.settle(name)["EndpointStatus"] == "InService"

    def model(self, name: str, **environment: str) -> dict[str, Any]:
        """The specification of a new Model."""
        container = {"Image": FAKE_IMAGE, "Environment": environment}
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
        return {
            "ModelName": name,
            "ComputeResourceRequirements": {
                "MinMemoryRequiredInMb": 1024,
                "NumberOfAcceleratorDevicesRequired": 1,
            },
        }

    def create(self, copies: int = 1, **environment: str) -> dict[str, Any]:
        self.sagemaker.create_inference_component(
            InferenceComponentName=self.name,
            EndpointName=self.name,
            VariantName="AllTraffic",
            Specification=self.model(f"{self.name}-1", **environment),
            RuntimeConfig={"CopyCount": copies},
        )
        return self.settle()

    def scale(self, copies: int) -> dict[str, Any]:
        self.sagemaker.update_inference_component_runtime_config(
            InferenceComponentName=self.name, DesiredRuntimeConfig={"CopyCount": copies}
        )
        return self.settle()

    def describe(self) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_inference_component(InferenceComponentName=self.name)
        return found

    def settle(self) -> dict[str, Any]:
        for _ in range(400):
            if (found := self.describe())["InferenceComponentStatus"] in ("InService", "Failed"):
                return found
            time.sleep(0.05)
        raise AssertionError(found["InferenceComponentStatus"])

    def greeting(self) -> str:
        answer = self.aws.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=self.name, InferenceComponentName=self.name, Body=b"{}"
        )
        return str(json.load(answer["Body"])["environment"]["FAKE_GREETING"])


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with running(tmp_path_factory.mktemp("hosting")) as aws:
        yield aws


@pytest.fixture
def component(embedded: EmbeddedAws, request: pytest.FixtureRequest) -> Component:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    return Component(embedded, name)


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(*arguments, **named)
    return str(error.value.response["Error"]["Message"])


def test_copies_go_to_none_and_come_back_with_a_container_each_time(component: Component) -> None:
    found = component.create(FAKE_GREETING="hello")
    assert found["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    assert component.greeting() == "hello"

    assert component.scale(0)["RuntimeConfig"] == {"DesiredCopyCount": 0, "CurrentCopyCount": 0}
    hosted = hosting.find_endpoint(component.name, None)
    assert hosted is not None
    assert not list(hosted.settings.endpoints_directory.glob(f"{component.name}/*/model"))
    assert refused(component.greeting).startswith(
        "Inference Component has no capacity to process this request."
    )

    assert component.scale(2)["RuntimeConfig"] == {"DesiredCopyCount": 2, "CurrentCopyCount": 2}
    assert component.greeting() == "hello"


def test_update_changes_the_model_and_not_the_number_of_copies(component: Component) -> None:
    component.create(FAKE_GREETING="one")
    component.scale(2)
    component.sagemaker.update_inference_component(
        InferenceComponentName=component.name,
        Specification=component.model(f"{component.name}-2", FAKE_GREETING="two"),
    )
    found = component.settle()
    assert found["RuntimeConfig"]["CurrentCopyCount"] == 2
    assert found["Specification"]["ModelName"] == f"{component.name}-2"
    assert component.greeting() == "two"


def test_update_at_no_copy_is_what_the_next_copy_runs(component: Component) -> None:
    component.create(FAKE_GREETING="one")
    component.scale(0)
    component.sagemaker.update_inference_component(
        InferenceComponentName=component.name,
        Specification=component.model(f"{component.name}-2", FAKE_GREETING="two"),
    )
    assert component.settle()["RuntimeConfig"]["CurrentCopyCount"] == 0
    component.scale(1)
    assert component.greeting() == "two"


def test_failed_update_leaves_the_old_copies_and_says_why(component: Component) -> None:
    component.create(FAKE_GREETING="one")
    component.sagemaker.update_inference_component(
        InferenceComponentName=component.name,
        Specification=component.model(f"{component.name}-2", FAKE_MODE="exit"),
    )
    found = component.settle()
    assert "Container exited with code 3" in found["FailureReason"]
    assert component.greeting() == "one"


def test_component_whose_container_does_not_start_is_failed(component: Component) -> None:
    found = component.create(FAKE_MODE="exit")
    assert found["InferenceComponentStatus"] == "Failed"
    assert "Container exited with code 3" in found["FailureReason"]
    groups = component.aws.client("logs").describe_log_groups(
        logGroupNamePrefix=f"/aws/sagemaker/InferenceComponents/{component.name}"
    )
    assert len(groups["logGroups"]) == 1


def test_deleted_component_is_gone_and_its_name_free(component: Component) -> None:
    component.create()
    component.sagemaker.delete_inference_component(InferenceComponentName=component.name)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not component.sagemaker.list_inference_components(EndpointNameEquals=component.name)[
            "InferenceComponents"
        ]:
            break
        time.sleep(0.05)
    assert "Could not find inference component" in refused(component.describe)


def test_endpoint_that_goes_takes_the_copies_and_leaves_the_component(component: Component) -> None:
    component.create()
    component.sagemaker.delete_endpoint(EndpointName=component.name)
    component.sagemaker.get_waiter("endpoint_deleted").wait(
        EndpointName=component.name, WaiterConfig={"Delay": 0.1}
    )
    assert component.describe()["RuntimeConfig"]["CurrentCopyCount"] == 0


def test_component_cannot_begin_with_no_copy(component: Component) -> None:
    assert "integer larger than 0" in refused(component.create, copies=0)


def test_call_without_the_components_name_is_refused(component: Component) -> None:
    component.create()
    call = component.aws.client("sagemaker-runtime").invoke_endpoint
    message = refused(call, EndpointName=component.name, Body=b"{}")
    assert message.startswith("Inference Component Name header is required")
    assert "Could not find" in refused(
        call, EndpointName=component.name, InferenceComponentName="another", Body=b"{}"
    )


def test_endpoint_of_a_model_takes_neither_components_nor_their_names(embedded: EmbeddedAws) -> None:
    embedded.deploy("of-a-model")
    create = embedded.client("sagemaker").create_inference_component
    message = refused(
        create,
        InferenceComponentName="none",
        EndpointName="of-a-model",
        VariantName="AllTraffic",
        Specification={"ModelName": "of-a-model"},
        RuntimeConfig={"CopyCount": 1},
    )
    assert "Inference Components are not supported in this Endpoint" in message
    call = embedded.client("sagemaker-runtime").invoke_endpoint
    message = refused(call, EndpointName="of-a-model", InferenceComponentName="none", Body=b"{}")
    assert message.startswith("Inference Component Name header is not allowed")


def test_managed_instance_scaling_is_for_endpoints_without_a_model(embedded: EmbeddedAws) -> None:
    message = refused(embedded.configure, "managed", ManagedInstanceScaling={"Status": "ENABLED"})
    assert message == "ManagedInstanceScaling is only supported for inference component endpoints."
