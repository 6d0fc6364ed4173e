"""The engines that the stack builds no image for: AWS publishes their containers, region by region.

The accounts, repositories and tags are the SageMaker SDK's own, taken into `engine_images.json` by
`quant_llm_tools.engine_images`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from quant_llm.agency import Engine
from quant_llm.agency.aws_names import regions
from quant_llm.catalogue.schema import Source

DATA = Path(__file__).with_name("engine_images.json")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedImage(_Frozen):
    """One container: its table and version in the SDK, and the account that has it, by region."""

    table: str
    version: str
    repository: str
    tag: str
    accounts: Mapping[str, str]


class PublishedImages(_Frozen):
    """The whole of `engine_images.json`."""

    schema_version: Literal[1]
    source: Source
    images: Mapping[Engine, PublishedImage]


@dataclass(frozen=True, kw_only=True)
class EcrImage:
    """An image in Amazon ECR, in a region."""

    account: str
    region: str
    repository: str
    tag: str

    @property
    def uri(self) -> str:
        """`<account>.dkr.ecr.<region>.<the partition's domain>/<repository>:<tag>`."""
        domain = regions()[self.region].domain
        return f"{self.account}.dkr.ecr.{self.region}.{domain}/{self.repository}:{self.tag}"


def is_published(engine: Engine) -> bool:
    """Whether AWS publishes the engine's container, in whichever regions."""
    return engine in load_published_images().images


def published_image(engine: Engine, region: str) -> EcrImage | None:
    """AWS's container of an engine; None when AWS publishes none, or not in this region."""
    image = load_published_images().images.get(engine)
    if image is None or region not in image.accounts:
        return None
    return EcrImage(account=image.accounts[region], region=region, repository=image.repository, tag=image.tag)


@functools.cache
def load_published_images() -> PublishedImages:
    """The images that come with the package, read once."""
    return PublishedImages.model_validate_json(DATA.read_bytes())
