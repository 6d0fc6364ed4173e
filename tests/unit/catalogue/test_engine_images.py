"""The file of AWS's containers: as the maintainers' script makes it, and a URI for each region of it."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quant_llm.agency import Engine, forms
from quant_llm.agency.aws_names import regions
from quant_llm.catalogue import NEEDS, is_published, load_catalogue, published_image
from quant_llm.catalogue.engine_images import DATA, load_published_images
from quant_llm.catalogue.engine_options import load_engine_options
from quant_llm.paths import ROOT
from quant_llm_tools import engine_images

LMI = {
    "versions": {"0.36.0": {"registries": {"b-1": "2", "a-1": "1"}, "repository": "lmi", "tag_prefix": "9"}}
}
TGI_VERSION = {
    "container_version": {"gpu": "cu124"},
    "py_versions": ["py311"],
    "registries": {"a-1": "3"},
    "repository": "tgi",
    "tag_prefix": "8",
}
TGI = {"inference": {"versions": {"3.3.6": TGI_VERSION}}}
Wheel = Callable[..., Path]


@pytest.fixture
def wheel(tmp_path: Path) -> Wheel:
    """Makes a wheel with tables of the SDK's form: those above, unless told otherwise."""

    def make(lmi: Any = LMI, version: str = engine_images.SDK_VERSION) -> Path:
        path = tmp_path / "sdk.whl"
        tables = "sagemaker/core/image_uri_config"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{tables}/djl-lmi.json", json.dumps(lmi))
            archive.writestr(f"{tables}/huggingface-llm.json", json.dumps(TGI))
            archive.writestr(f"sagemaker_core-{version}.dist-info/METADATA", "")
        return path

    return make


def test_the_file_is_what_the_script_makes_of_the_sdk() -> None:
    """The SDK is where its clients' examples are tested, if they are: `make clients`."""
    site_packages = next((ROOT / ".venv" / "clients" / "lib").glob("python3*/site-packages"), None)
    if site_packages is None:
        pytest.skip("the SageMaker SDK is not installed: make clients")
    assert engine_images.extract(site_packages) == DATA.read_text(encoding="utf-8")


def test_the_sdk_is_the_one_that_the_clients_examples_are_tested_with() -> None:
    lock = (ROOT / "tests" / "integration" / "clients" / "requirements.lock").read_text(encoding="utf-8")
    assert f"sagemaker-core=={engine_images.SDK_VERSION} " in lock


def test_the_script_takes_account_repository_and_tag(
    wheel: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_images, "DATA", tmp_path / "out.json")
    assert engine_images.main([str(wheel())]) == 0
    assert str(tmp_path / "out.json") in capsys.readouterr().out
    images = json.loads((tmp_path / "out.json").read_text())["images"]
    assert images == {
        "vllm": {
            "table": "djl-lmi.json",
            "version": "0.36.0",
            "repository": "lmi",
            "tag": "9",
            "accounts": {"a-1": "1", "b-1": "2"},
        },
        "tgi": {
            "table": "huggingface-llm.json",
            "version": "3.3.6",
            "repository": "tgi",
            "tag": "8-gpu-py311-cu124",
            "accounts": {"a-1": "3"},
        },
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "1.0.0"}, "expected sagemaker-core 2.27.0"),
        ({"lmi": {"versions": {"0.1": {}}}}, "djl-lmi.json has no version '0.36.0', expected one of 0.1"),
    ],
)
def test_another_sdk_or_a_version_that_it_lacks_is_an_error_and_writes_nothing(
    changes: dict[str, Any],
    message: str,
    wheel: Wheel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(engine_images, "DATA", tmp_path / "out.json")
    assert engine_images.main([str(wheel(**changes))]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_the_script_wants_one_wheel(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert engine_images.main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_what_is_no_wheel_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("no archive")
    assert [engine_images.main([str(tmp_path / name)]) for name in ("text", "missing")] == [1, 1]
    assert "not a zip file" in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["vllm", "tgi"])
def test_every_region_of_the_file_has_a_uri_in_its_partition(engine: Engine) -> None:
    accounts = load_published_images().images[engine].accounts
    assert len(accounts) > 40
    for region in accounts:
        image = published_image(engine, region)
        assert image is not None
        assert forms.ECR_IMAGE.fits(image.uri)
        assert image.uri.split("/")[0].endswith(f".dkr.ecr.{region}.{regions()[region].domain}")


@pytest.mark.parametrize(
    ("engine", "region", "uri"),
    [
        # As `retrieve` in sagemaker.core.image_uris 2.27.0 answers.
        (
            "vllm",
            "ap-southeast-1",
            "763104351884.dkr.ecr.ap-southeast-1.amazonaws.com/djl-inference:0.36.0-lmi27.0.0-cu130",
        ),
        (
            "vllm",
            "us-gov-west-1",
            "442386744353.dkr.ecr.us-gov-west-1.amazonaws.com/djl-inference:0.36.0-lmi27.0.0-cu130",
        ),
        (
            "tgi",
            "us-east-1",
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-tgi-inference:"
            "2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04",
        ),
        (
            "tgi",
            "cn-north-1",
            "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/huggingface-pytorch-tgi-inference:"
            "2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04",
        ),
    ],
)
def test_the_uri_is_the_sdks_own(engine: Engine, region: str, uri: str) -> None:
    image = published_image(engine, region)
    assert image is not None
    assert image.uri == uri


def test_engines_that_the_stack_builds_have_no_published_image() -> None:
    assert not is_published("llama.cpp")
    assert published_image("exllamav2", "us-east-1") is None
    assert published_image("vllm", "xx-nowhere-1") is None


def test_every_region_with_gpus_has_both_containers() -> None:
    hosting = {region for one in load_catalogue().instances for region in one.hosting_regions}
    for image in load_published_images().images.values():
        assert hosting <= set(image.accounts)


def test_the_options_and_the_driver_are_those_of_the_image() -> None:
    """A new version of an image needs its options read again, and maybe another driver."""
    drivers = {"cu130": 580, "cu124": 550}  # NVIDIA, CUDA toolkit release notes, table of drivers
    for engine, image in load_published_images().images.items():
        assert load_engine_options().engines[engine].version == image.version
        (cuda,) = re.findall(r"cu\d{3}", image.tag)
        assert NEEDS[engine].driver == drivers[cuda]
