"""Where tokens come from, with AWS in memory."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from quant_llm.errors import QuantLlmError
from quant_llm_tools.lock.tokens import environment_token, secret_token

REGION = "ap-southeast-1"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.mark.parametrize(
    ("value", "expected"), [("hf_x", "hf_x"), ("  hf_x\n", "hf_x"), ("a.b-c/d~e+f==", "a.b-c/d~e+f==")]
)
def test_token_of_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, expected: str) -> None:
    monkeypatch.setenv("HF_TOKEN", value)
    token = environment_token()
    assert token is not None
    assert (token.value, token.origin) == (expected, "HF_TOKEN")
    assert expected not in repr(token)


@pytest.mark.parametrize("value", ["", " "])
def test_empty_variable_is_no_token(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HF_TOKEN", value)
    assert environment_token() is None


@pytest.mark.parametrize("value", ["hf_a b", "hf_ä", "hf_a\nX-Header: b", '{"token": "hf_a"}'])
def test_what_cannot_be_a_token_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HF_TOKEN", value)
    with pytest.raises(QuantLlmError, match="HF_TOKEN holds no token") as error:
        environment_token()
    assert "hf_" not in str(error.value)


@mock_aws
def test_secret_is_read_in_the_agency_s_region() -> None:
    boto3.client("secretsmanager", region_name=REGION).create_secret(Name="hf-token", SecretString="hf_x\n")
    token = secret_token("hf-token", REGION)
    assert (token.value, token.origin) == ("hf_x", f"the secret 'hf-token' in {REGION}")


@mock_aws
def test_missing_secret_is_told() -> None:
    with pytest.raises(QuantLlmError, match=r"'hf-token' in .* could not be read: ResourceNotFoundException"):
        secret_token("hf-token", REGION)


@mock_aws
@pytest.mark.parametrize("content", [{"SecretBinary": b"hf_x"}, {"SecretString": '{"token": "hf_x"}'}])
def test_secret_that_is_no_token_is_told_and_not_shown(content: Any) -> None:
    boto3.client("secretsmanager", region_name=REGION).create_secret(Name="hf-token", **content)
    with pytest.raises(QuantLlmError, match=r"'hf-token' in .* holds no token") as error:
        secret_token("hf-token", REGION)
    assert "hf_x" not in str(error.value)


def test_without_credentials_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(QuantLlmError, match="could not be read: Unable to locate credentials"):
        secret_token("hf-token", REGION)


def test_unreachable_aws_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_args: object, **_options: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://secretsmanager.example")

    monkeypatch.setattr("botocore.endpoint.Endpoint.make_request", unreachable)
    with pytest.raises(QuantLlmError, match="could not be read: Could not connect"):
        secret_token("hf-token", REGION)
