"""Where the hub's token comes from: HF_TOKEN, or the secret that the agency file names. It is never shown."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from quant_llm.errors import QuantLlmError

# RFC 6750, 2.1: what may follow "Bearer". Anything else would fail inside the HTTP client, with the token in
# its text.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class Token:
    """A token and the words for where it was found, which messages may use."""

    value: str = field(repr=False)
    origin: str


def environment_token() -> Token | None:
    """The token in HF_TOKEN; None where there is none. QuantLlmError when it can't be a token."""
    value = os.environ.get("HF_TOKEN", "").strip()
    return _checked(value, "HF_TOKEN") if value else None


def secret_token(name: str, region: str) -> Token:
    """The token in a secret of AWS Secrets Manager, whose whole text it is.

    QuantLlmError when there are no credentials, or the secret is not there, not readable, or no token.
    """
    # Most locks need no AWS, and boto3 takes its time to import.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    origin = f"the secret {name!r} in {region}"
    patience = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    try:
        # A session of its own: the default one keeps the credentials that somebody found before.
        client = boto3.Session().client("secretsmanager", region_name=region, config=patience)
        value = client.get_secret_value(SecretId=name).get("SecretString", "")
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "no reason given")
        raise QuantLlmError(f"{origin} could not be read: {code}") from None
    except BotoCoreError as error:
        raise QuantLlmError(f"{origin} could not be read: {error}") from None
    return _checked(value.strip(), origin)


def _checked(value: str, origin: str) -> Token:
    if not _BEARER.fullmatch(value):
        raise QuantLlmError(f"{origin} holds no token: it is empty, or has characters that no token has")
    return Token(value, origin)
