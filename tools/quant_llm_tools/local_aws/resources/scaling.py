"""Application Auto Scaling, and the alarms and topics that go with it."""

from __future__ import annotations

from typing import Any

from quant_llm_tools.local_aws.resources.request import Request, ServiceRefused
from quant_llm_tools.local_aws.waiting import ResourceFailed

Json = Any
_SERVICE = "application-autoscaling"


class ScalableTarget:
    """AWS::ApplicationAutoScaling::ScalableTarget with its scheduled actions."""

    def create(self, request: Request) -> None:
        """Register the target; its endpoint must be there."""
        _check_endpoint(request)
        request.call(f"{_SERVICE}.register_scalable_target")
        names = ("ResourceId", "ScalableDimension", "ServiceNamespace")
        request.identify("|".join(request.properties[name] for name in names))
        request.attributes = {"Id": request.physical_id}
        self._schedule(request)

    def update(self, request: Request) -> None:
        """Register it with other bounds."""
        request.call(f"{_SERVICE}.register_scalable_target")
        self._schedule(request)

    def delete(self, request: Request) -> None:
        """Remove its schedule, then the target."""
        target = scalable_target(request.physical_id)
        client = request.client(_SERVICE)
        for action in request.properties.get("ScheduledActions", []):
            name = action["ScheduledActionName"]
            request.send(client.delete_scheduled_action, ScheduledActionName=name, **target)
        request.send(client.deregister_scalable_target, **target)

    @staticmethod
    def _schedule(request: Request) -> None:
        client, target = request.client(_SERVICE), scalable_target(request.physical_id)
        actions = request.properties.get("ScheduledActions", [])
        for action in actions:
            bounds = {name: int(value) for name, value in action.get("ScalableTargetAction", {}).items()}
            request.send(client.put_scheduled_action, **{**action, "ScalableTargetAction": bounds}, **target)
        kept = {action["ScheduledActionName"] for action in actions}
        for action in request.old.get("ScheduledActions", []):
            if action["ScheduledActionName"] not in kept:
                name = action["ScheduledActionName"]
                request.send(client.delete_scheduled_action, ScheduledActionName=name, **target)


class ScalingPolicy:
    """AWS::ApplicationAutoScaling::ScalingPolicy."""

    def create(self, request: Request) -> None:
        """Put the policy on its target."""
        policy = request.call(f"{_SERVICE}.put_scaling_policy", replaces=True, **self._target(request))
        request.identify(policy["PolicyARN"])
        request.attributes = {"Arn": policy["PolicyARN"]}

    def update(self, request: Request) -> None:
        """Put it over the old one."""
        request.call(f"{_SERVICE}.put_scaling_policy", replaces=True, **self._target(request))

    def delete(self, request: Request) -> None:
        """Delete the policy; one whose target is gone is gone with it."""
        client, name = request.client(_SERVICE), request.properties["PolicyName"]
        try:
            request.send(client.delete_scaling_policy, PolicyName=name, **self._target(request))
        except ServiceRefused as refused:
            if "No scaling policy found" not in str(refused):
                raise

    @staticmethod
    def _target(request: Request) -> dict[str, str]:
        if "ScalingTargetId" in request.properties:
            return scalable_target(request.properties["ScalingTargetId"])
        return {
            name: request.properties[name] for name in ("ResourceId", "ScalableDimension", "ServiceNamespace")
        }


def scalable_target(physical_id: str) -> dict[str, str]:
    """The three names of a target, from its physical id `<resource>|<dimension>|<namespace>`."""
    resource, dimension, namespace = physical_id.split("|")
    return {"ResourceId": resource, "ScalableDimension": dimension, "ServiceNamespace": namespace}


def _check_endpoint(request: Request) -> None:
    """moto registers targets that don't exist; AWS refuses, so a forgotten dependency must fail here too."""
    if request.properties["ServiceNamespace"] != "sagemaker":
        return
    kind, name, *rest = request.properties["ResourceId"].split("/")
    if kind == "inference-component":
        # Refused by SageMaker's own message if it isn't there.
        request.send(request.client("sagemaker").describe_inference_component, InferenceComponentName=name)
        return
    variant = rest[-1]
    try:
        endpoint = request.send(request.client("sagemaker").describe_endpoint, EndpointName=name)
    except ServiceRefused:
        endpoint = {}
    variants = [entry["VariantName"] for entry in endpoint.get("ProductionVariants", [])]
    if variant not in variants:
        raise ResourceFailed(f"there is no SageMaker {kind} {name!r} with a variant {variant!r} to scale")


class Alarm:
    """AWS::CloudWatch::Alarm."""

    def create(self, request: Request) -> None:
        """Put the alarm."""
        name = request.name("AlarmName", 255)
        request.call("cloudwatch.put_metric_alarm", replaces=True, AlarmName=name)
        request.identify(name)
        location = f"{request.stack.region}:{request.stack.account}"
        request.attributes = {"Arn": f"arn:{request.stack.partition}:cloudwatch:{location}:alarm:{name}"}

    def update(self, request: Request) -> None:
        """Put it over the old one."""
        request.call("cloudwatch.put_metric_alarm", replaces=True, AlarmName=request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete the alarm."""
        request.send(request.client("cloudwatch").delete_alarms, AlarmNames=[request.physical_id])


class Topic:
    """AWS::SNS::Topic with the subscriptions that are written into it."""

    def create(self, request: Request) -> None:
        """Create topic and subscriptions."""
        name = request.name("TopicName", 256)
        topic = request.call("sns.create_topic", Name=name, Attributes=self._attributes(request))
        arn = topic["TopicArn"]
        request.identify(arn)
        request.attributes = {"TopicArn": arn, "TopicName": name}
        for subscription in request.properties.get("Subscription", []):
            request.send(request.client("sns").subscribe, TopicArn=arn, **subscription)

    def update(self, request: Request) -> None:
        """Change the topic's attributes and tags."""
        client, arn = request.client("sns"), request.physical_id
        for name in _TOPIC_ATTRIBUTES:
            if request.changed(name):
                value = str(request.properties.get(name, ""))
                request.send(
                    client.set_topic_attributes, TopicArn=arn, AttributeName=name, AttributeValue=value
                )
        request.retag(arn)

    def delete(self, request: Request) -> None:
        """Delete the topic."""
        request.send(request.client("sns").delete_topic, TopicArn=request.physical_id)

    @staticmethod
    def _attributes(request: Request) -> dict[str, str]:
        return {
            name: str(request.properties[name]) for name in _TOPIC_ATTRIBUTES if name in request.properties
        }


_TOPIC_ATTRIBUTES = ("DisplayName", "KmsMasterKeyId", "SignatureVersion", "TracingConfig")
