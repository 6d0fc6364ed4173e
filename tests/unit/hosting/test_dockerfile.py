"""What hosting takes from a Dockerfile is what `docker run` would take from the image."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_llm_tools.local_aws.hosting_errors import DeploymentFailed
from quant_llm_tools.local_aws.hosting_image import parse_dockerfile, read_image

DOCKERFILE = r"""
# syntax=docker/dockerfile:1
ARG BASE_IMAGE=debian:12
ARG GLOBAL=b1
FROM ${BASE_IMAGE} AS build
ENV ONLY_IN_BUILD=1
ENTRYPOINT ["make"]
RUN echo one \
    # a comment between continued lines
    && echo two

FROM ${BASE_IMAGE}
ARG VERSION=1.2
ARG GLOBAL
ENV COMMIT=${GLOBAL}
ENV LLAMA_VERSION=$VERSION \
    GREETING="hello world" TAIL='a b'
ENV LEGACY all the rest
ENV BOTH=${LLAMA_VERSION}-x
env lower=yes
EXPOSE 8080
entrypoint ["python3", "-m", "quant_llm_serving", "llama.cpp"]
"""


def test_last_stage_alone_counts() -> None:
    image = parse_dockerfile(DOCKERFILE)
    assert image.entrypoint == ("python3", "-m", "quant_llm_serving", "llama.cpp")
    assert image.environment == {
        "COMMIT": "b1",
        "LLAMA_VERSION": "1.2",
        "GREETING": "hello world",
        "TAIL": "a b",
        "LEGACY": "all the rest",
        "BOTH": "1.2-x",
        "lower": "yes",
    }


@pytest.mark.parametrize(
    ("entrypoint", "complaint"),
    [("", "no ENTRYPOINT"), ("ENTRYPOINT serve --now", "JSON array"), ('ENTRYPOINT ["a", 1]', "JSON array")],
)
def test_entrypoint_that_would_drop_serve_is_refused(entrypoint: str, complaint: str) -> None:
    with pytest.raises(DeploymentFailed, match=complaint):
        parse_dockerfile(f"FROM scratch\n{entrypoint}\n")


def test_context_must_hold_one_dockerfile(tmp_path: Path) -> None:
    with pytest.raises(DeploymentFailed, match="found none"):
        read_image(tmp_path)
    for engine in ("a", "b"):
        (tmp_path / engine).mkdir()
        (tmp_path / engine / "Dockerfile").write_text(DOCKERFILE)
    with pytest.raises(DeploymentFailed, match="found a/Dockerfile, b/Dockerfile"):
        read_image(tmp_path)
