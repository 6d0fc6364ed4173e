from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from quant_llm_tools.local_aws import images

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/engine"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    images.forget_all()


def test_an_image_is_found_by_tag_and_by_the_digest_of_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    image = images.register(REPOSITORY, "v1", tmp_path)
    assert image.digest == "sha256:" + hashlib.sha256(images.manifest(tmp_path).encode()).hexdigest()
    assert images.resolve(f"{REPOSITORY}:v1") == image
    assert images.resolve(f"{REPOSITORY}@{image.digest}") == image
    assert images.resolve(f"{REPOSITORY}:v2") is None


def test_the_digest_depends_on_paths_and_bytes_alone(tmp_path: Path) -> None:
    contexts = [tmp_path / name for name in ("one", "same", "renamed", "changed")]
    for context, (name, text) in zip(contexts, [("a", "1"), ("a", "1"), ("b", "1"), ("a", "2")], strict=True):
        context.mkdir()
        (context / name).write_text(text)
    one, same, renamed, changed = (images.register(REPOSITORY, "t", context).digest for context in contexts)
    assert one == same
    assert len({one, renamed, changed}) == 3
