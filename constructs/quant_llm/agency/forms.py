"""Forms of single values: what is checked, what a message calls it, and what the JSON Schema says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Strict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from quant_llm.agency.problems import nearest

_Item = TypeVar("_Item")

Text = Annotated[str, Strict()]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Items = Annotated[tuple[_Item, ...], Field(min_length=1)]
"""A list of at least one."""

WRONG_FORM = "wrong_form"
"""The type of the pydantic error that `wrong` makes."""


def wrong(expected: str, nearest: str | None = None) -> PydanticCustomError:
    """The error of a value that isn't what is expected; `nearest` is what was probably meant."""
    return PydanticCustomError(WRONG_FORM, "expected {expected}", {"expected": expected, "nearest": nearest})


@dataclass(frozen=True)
class Form:
    """Text that matches a pattern as a whole; `mend` gives what a wrong one probably meant, or None."""

    pattern: str
    expected: str
    mend: Callable[[str], str | None] = lambda _: None

    def _check(self, value: str) -> str:
        if self.fits(value):
            return value
        mended = self.mend(value)
        raise wrong(self.expected, mended if mended and self.fits(mended) else None)

    def fits(self, value: str) -> bool:
        """Whether the text has this form."""
        return re.fullmatch(self.pattern, value, re.ASCII) is not None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check after the type."""
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The pattern, anchored, as editors need it."""
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True)
class OneOf:
    """Text that is one of some values, read when first needed; `expected` replaces the list of them."""

    values: Callable[[], Collection[str]]
    expected: str | None = None

    def _check(self, value: object) -> object:
        if value in self.values():
            return value
        near = nearest(value, self.values()) if isinstance(value, str) else None
        raise wrong(self.expected or "one of " + ", ".join(self.values()), near)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check before the type, which may be a Literal of the same values with a poorer message."""
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The values, for the editor's completion."""
        return {**handler(schema), "enum": list(self.values())}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _repository(text: str) -> str | None:
    """Owner and name out of a hub URL."""
    found = re.match(r"(?:https?://)?[\w.-]+\.\w+/(?:models/)?([\w.-]+/[\w.-]+)", text)
    return found[1] if found else None


def _twelve_digits(text: str) -> str | None:
    """The account with its dashes taken out or its leading zeros put back."""
    digits = text.replace("-", "").replace(" ", "")
    return digits.zfill(12) if digits.isascii() and digits.isdigit() and len(digits) >= 10 else None


def _secret_name(text: str) -> str | None:
    found = re.fullmatch(r"arn:[\w-]+:secretsmanager:[\w-]+:\d{12}:secret:(.+?)(?:-\w{6})?", text)
    return found[1] if found else None


# The form of SageMaker's names of endpoints, lower case: clients type it, and S3 keys and logs carry it.
NAME = Form(
    r"[a-z0-9](?:-*[a-z0-9])*", "lower-case letters, digits and inner hyphens, such as 'mistral-7b'", _slug
)
ACCOUNT = Form(r"\d{12}", 'an account of 12 digits in quotes, such as "123456789012"', _twelve_digits)
BOUNDARY_ARN = Form(
    r"arn:aws[a-z-]*:iam::(?:\d{12}|aws):policy/[\w+=,.@/-]+",
    "the ARN of an IAM policy, such as arn:aws:iam::123456789012:policy/Boundary",
)
VPC_ID = Form(r"vpc-[0-9a-f]{8}(?:[0-9a-f]{9})?", "a VPC id, vpc- and 8 or 17 hexadecimal digits")
SUBNET_ID = Form(r"subnet-[0-9a-f]{8}(?:[0-9a-f]{9})?", "a subnet id, subnet- and 8 or 17 hexadecimal digits")
GROUP_ID = Form(r"sg-[0-9a-f]{8}(?:[0-9a-f]{9})?", "a security group id, sg- and 8 or 17 hexadecimal digits")
EMAIL = Form(
    r"[^@\s<>:]+@[^@\s.<>:]+(?:\.[^@\s.<>:]+)+", "an email address, such as ml-platform@agency.example"
)
HUB = Form(
    r"https://[a-zA-Z0-9.-]+(?::\d{1,5})?(?:/[\w./-]*)?",
    "a hub's address over TLS without user and password, such as https://hub.agency.example",
)
PROXY = Form(
    r"https?://[a-zA-Z0-9.-]+(?::\d{1,5})?/?",
    "a proxy's address without user and password, such as http://proxy.agency.example:3128",
)
# The hub's rule: up to 96 characters, no `--` and no `..`, letters, digits and `_` at the ends of each part.
REPOSITORY = Form(
    r"(?!.*(?:--|\.\.))(?=.{3,96}$)\w(?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?",
    "a repository of the hub as owner/name, such as 'TheBloke/Mistral-7B-Instruct-v0.2-GGUF'",
    _repository,
)
# Git's rule for names of references (git check-ref-format), which commits meet as well.
REVISION = Form(
    r"(?!.*(?:\.\.|//|@\{|\.lock$))[^\s~^:?*\[\\/.-][^\s~^:?*\[\\]{0,254}(?<![/.])",
    "a branch, tag or commit of the repository, such as 'main'",
)
FILE_PATTERN = Form(
    r"(?!.*(?:^|/)\.\.(?:/|$))[^\x00-\x1f\\/][^\x00-\x1f\\]*",
    "a file pattern within the repository, such as '*Q4_K_M.gguf'",
)
GGUF_TYPE = Form(r"(?:I?Q\d[A-Z0-9_]*|TQ\d_\d)", "a type of llama-quantize, such as 'Q4_K_M'")
TEXT_FILE = Form(
    r"(?!.*(?:^|/)\.\.?(?:/|$))[\w.-]+(?:/[\w.-]+)*\.txt",
    "a text file beside the agency file or below, such as 'texts/wiki.txt'",
)
SECRET_NAME = Form(
    r"[\w/+=.@-]{1,512}", "the name of a secret in AWS Secrets Manager, such as 'hf-token'", _secret_name
)
# SageMaker's bound of the whole, and ECR's rule for repositories' names (RepositoryName in its API's model).
_ECR_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
ECR_IMAGE = Form(
    r"(?=.{1,255}$)\d{12}\.dkr\.ecr\.[a-z0-9-]+\.[a-z0-9.-]+"
    rf"/{_ECR_PART}(?:/{_ECR_PART})*"
    r"(?::(?!latest$)[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})",
    "an Amazon ECR image pinned by a tag other than latest or by a digest, "
    "<account>.dkr.ecr.<region>.amazonaws.com/<repository>@sha256:<64 hexadecimal digits>",
)
ENVIRONMENT_NAME = Form(r"[A-Za-z_][A-Za-z0-9_]*", "a variable's name of letters, digits and underscores")
