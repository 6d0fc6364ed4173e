"""`--local`: the container's own entrypoint with the model of `agencies/default.yaml`, as a process."""

from __future__ import annotations

import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from quant_llm.agency import AgencyLock, ModelConfig, ModelLock, load_agency
from quant_llm.catalogue.placement import place
from quant_llm.engines import LLAMA_CPP, container_environment
from quant_llm.errors import QuantLlmError
from quant_llm.paths import CONTAINER, ROOT
from quant_llm_tools.local_aws import hosting_variant
from quant_llm_tools.local_aws.hosting_container import Container
from quant_llm_tools.local_aws.hosting_errors import DeploymentFailed
from quant_llm_tools.local_aws.hosting_image import parse_dockerfile
from quant_llm_tools.local_aws.hosting_settings import write_programs
from quant_llm_tools.local_aws.hub.catalogue import packaged_model
from quant_llm_tools.local_aws.llama_cpp_library import require_llama_cpp
from quant_llm_tools.local_aws.reserved_port import ReservedPort

AGENCY_FILE = ROOT / "agencies" / "default.yaml"

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOG_LINES = 20


@dataclass(frozen=True)
class LocalContainer:
    """A healthy container: where it is, what it serves, and on what the agency file would deploy it."""

    url: str
    model: ModelConfig
    lock: ModelLock
    instance_type: str
    region: str
    engine_build: str


@contextmanager
def local_container() -> Iterator[LocalContainer]:
    """Start the container, wait until it is healthy, and stop it at the end.

    QuantLlmError if it doesn't start, with the end of its log, or if llama.cpp can't be loaded here.
    """
    require_llama_cpp()
    agency = load_agency(AGENCY_FILE)
    model = agency.models[0]
    locks = AgencyLock.read(AGENCY_FILE.with_suffix(".lock.json")).models
    lock, placement = locks[model.name], place(agency, locks)[model.name]
    log: deque[str] = deque(maxlen=_LOG_LINES)
    # A short name: the path of a Unix socket has room for about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="quantllm-") as scratch:
        directory = Path(scratch)
        container = _start(
            directory, lock, container_environment(model, lock, placement), agency.environment.region, log
        )
        try:
            container.wait_until_healthy(variant="local", timeout=_START_SECONDS)
            yield LocalContainer(
                url=f"http://127.0.0.1:{container.port}",
                model=model,
                lock=lock,
                instance_type=placement.instance_type,
                region=agency.environment.region,
                engine_build=f"llama.cpp of xllamacpp {version('xllamacpp')}",
            )
        except DeploymentFailed as error:
            raise QuantLlmError("\n".join((f"the container did not start: {error}", *log))) from error
        finally:
            container.stop(_STOP_SECONDS)


def _start(
    directory: Path, lock: ModelLock, variables: Mapping[str, str], region: str, log: deque[str]
) -> Container:
    for name in ("home", "model", "t"):
        (directory / name).mkdir()
    (directory / "model" / lock.files[0].path).symlink_to(packaged_model())
    image = parse_dockerfile(LLAMA_CPP.dockerfile.read_text(encoding="utf-8"))
    write_programs(directory / "bin")
    # The embedded AWS's own Python is the image's; the one of `programs` stands for another engine's.
    command = [sys.executable if word == "python3" else word for word in image.entrypoint]
    port = ReservedPort()
    environment = hosting_variant.container_environment(
        image=image.environment,
        model=variables,
        directory=directory,
        scratch=directory / "t",
        packages=[CONTAINER / "sagemaker"],
        programs=directory / "bin",
        region=region,
        port=port.number,
    )
    return Container(
        [*command, "serve"],
        environment=environment,
        directory=directory / "home",
        port=port,
        log=log.append,
    )
