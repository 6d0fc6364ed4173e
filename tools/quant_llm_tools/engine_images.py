"""Where AWS keeps its containers of vLLM and TGI: takes the tables of the SageMaker SDK into the catalogue.

For maintainers, after a new version is set here:

    pip download --no-deps --dest build sagemaker-core==2.27.0
    python -m quant_llm_tools.engine_images build/sagemaker_core-2.27.0-py3-none-any.whl

The wheel is read as it is. Installed, it brings numpy, pandas, scipy and more, for two small tables.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from quant_llm.agency import Engine
from quant_llm.catalogue.engine_images import DATA
from quant_llm.errors import QuantLlmError

SDK_VERSION = "2.27.0"
SDK_DATE = "2026-10-21"
"""The version of sagemaker-core, and the day on which the files in its wheel are dated."""

_TABLES = "sagemaker/core/image_uri_config"
_PROCESSOR = "gpu"


@dataclass(frozen=True)
class _Wanted:
    """A table of the SDK, and the version in it."""

    table: str
    version: str


# LMI 27 is DJL Serving 0.36 with vLLM 0.23.1; its options are in engine_options.json. A newer LMI needs both.
WANTED: Mapping[Engine, _Wanted] = {
    "vllm": _Wanted("djl-lmi", "0.36.0"),
    "tgi": _Wanted("huggingface-llm", "3.3.6"),
}


def extract(root: Traversable) -> str:
    """The catalogue's file, from the root of the SDK's wheel or of the folder that it is installed in.

    QuantLlmError when it is another version of the SDK, or has not what is wanted.
    """
    if not root.joinpath(f"sagemaker_core-{SDK_VERSION}.dist-info").is_dir():
        raise QuantLlmError(f"{root}: expected sagemaker-core {SDK_VERSION}")
    document = {
        "schema_version": 1,
        "source": {"what": f"sagemaker-core {SDK_VERSION}, {_TABLES}", "as_of": SDK_DATE},
        "images": {engine: _image(root, wanted) for engine, wanted in WANTED.items()},
    }
    return json.dumps(document, indent=2) + "\n"


def _image(root: Traversable, wanted: _Wanted) -> dict[str, Any]:
    table = json.loads(root.joinpath(_TABLES, f"{wanted.table}.json").read_text(encoding="utf-8"))
    versions = table.get("inference", table)["versions"]
    if wanted.version not in versions:
        raise QuantLlmError(
            f"{wanted.table}.json has no version {wanted.version!r}, expected one of {', '.join(versions)}"
        )
    entry = versions[wanted.version]
    return {
        "table": f"{wanted.table}.json",
        "version": wanted.version,
        "repository": entry["repository"],
        "tag": _tag(entry),
        "accounts": dict(sorted(entry["registries"].items())),
    }


def _tag(entry: Mapping[str, Any]) -> str:
    """As `retrieve` in sagemaker.core.image_uris puts it together: with the processor where it is named."""
    parts = [entry["tag_prefix"]]
    if "container_version" in entry:
        (python,) = entry["py_versions"]
        parts += [_PROCESSOR, python, entry["container_version"][_PROCESSOR]]
    return "-".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Write the catalogue's file from a wheel, and return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m quant_llm_tools.engine_images WHEEL", file=sys.stderr)
        return 2
    try:
        with zipfile.ZipFile(arguments[0]) as wheel:
            text = extract(zipfile.Path(wheel))
    except (QuantLlmError, OSError, zipfile.BadZipFile) as error:
        print(error, file=sys.stderr)
        return 1
    Path(DATA).write_text(text, encoding="utf-8")
    print(f"{DATA}: {SDK_DATE}, sagemaker-core {SDK_VERSION}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
