"""The way of the repack to the hub: a mirror, a proxy, the agency's own network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from quant_llm.agency import AgencyFileError
from tests.stack.test_repack import repack_function, text_of

NETWORK = (
    "network:\n"
    "  vpc_id: vpc-0a1b2c3d4e5f60718\n"
    "  subnet_ids: [subnet-0a1b2c3d4e5f60718]\n"
    "  security_group_ids: [sg-0a1b2c3d4e5f60718]\n"
)

Changed = Callable[..., Template]


def function_of(template: Template) -> dict[str, Any]:
    resources = template.find_resources("AWS::Lambda::Function")
    return dict(resources[repack_function(template)])


def test_without_a_hub_in_the_file_nothing_is_set_and_nothing_attached(default_template: Template) -> None:
    properties = function_of(default_template)["Properties"]
    assert set(properties["Environment"]["Variables"]) == {"STATE_MACHINE_ARN", "WORKERS"}
    assert "VpcConfig" not in properties


def test_mirror_and_proxy_reach_the_function_and_the_proxy_is_not_for_aws(changed_template: Changed) -> None:
    hub = "hub: {endpoint: 'https://hub.moh.example/', proxy: 'http://proxy.moh.example:3128'}\n"
    template = changed_template(("models:\n", f"{hub}models:\n"))
    variables = function_of(template)["Properties"]["Environment"]["Variables"]
    assert variables["HF_ENDPOINT"] == "https://hub.moh.example"
    assert variables["HTTPS_PROXY"] == variables["HTTP_PROXY"] == "http://proxy.moh.example:3128"
    assert text_of(variables["NO_PROXY"]) == ".<AWS::URLSuffix>"
    assert "VpcConfig" not in function_of(template)["Properties"]


def test_function_in_the_network_has_its_subnets_and_may_make_its_interfaces(
    changed_template: Changed,
) -> None:
    template = changed_template(("models:\n", f"hub: {{in_network: true}}\n{NETWORK}models:\n"))
    function = function_of(template)
    assert function["Properties"]["VpcConfig"] == {
        "SubnetIds": ["subnet-0a1b2c3d4e5f60718"],
        "SecurityGroupIds": ["sg-0a1b2c3d4e5f60718"],
    }
    template.has_resource_properties(
        "AWS::IAM::Policy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "Action": Match.array_with(["ec2:CreateNetworkInterface"]),
                                "Effect": "Allow",
                            }
                        )
                    ]
                )
            },
            "Roles": [{"Ref": Match.string_like_regexp("^RepackFunctionRole")}],
        },
    )
    kinds = {template.to_json()["Resources"][name]["Type"] for name in function["DependsOn"]}
    assert "AWS::IAM::Policy" in kinds, "the function would be made before it may attach itself"


def test_other_functions_stay_outside_the_network(changed_template: Changed) -> None:
    template = changed_template(("models:\n", f"hub: {{in_network: true}}\n{NETWORK}models:\n"))
    attached = [
        name
        for name, function in template.find_resources("AWS::Lambda::Function").items()
        if "VpcConfig" in function["Properties"]
    ]
    assert attached == [repack_function(template)]


@pytest.mark.parametrize(
    ("hub", "problem"),
    [
        ("{in_network: true}", "hub.in_network: got true, expected false, or a `network` to attach"),
        ("{in_network: yes please}", "hub.in_network: got 'yes please', expected true or false"),
        (
            "{endpoint: 'http://hub.moh.example'}",
            "hub.endpoint: got 'http://hub.moh.example', expected a hub",
        ),
        ("{proxy: 'proxy.moh.example:3128'}", "hub.proxy: got 'proxy.moh.example:3128', expected a proxy's"),
        ("{mirror: 'https://hub.moh.example'}", "hub.mirror: "),
    ],
)
def test_a_hub_that_can_not_be_is_refused(changed_template: Changed, hub: str, problem: str) -> None:
    with pytest.raises(AgencyFileError) as raised:
        changed_template(("models:\n", f"hub: {hub}\nmodels:\n"))
    assert problem in str(raised.value)


def test_a_password_in_the_address_is_refused_and_not_shown(changed_template: Changed) -> None:
    with pytest.raises(AgencyFileError, match="without user and password") as raised:
        changed_template(("models:\n", "hub: {proxy: 'http://me:secret-word@proxy.moh.example'}\nmodels:\n"))
    assert "secret-word" not in str(raised.value)
