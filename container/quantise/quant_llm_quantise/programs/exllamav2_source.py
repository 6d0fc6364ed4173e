"""The unquantised weights as ExLlamaV2 reads them: `python3 -m … <source> <folder>`.

Transformers 5 writes the settings of the rotary embedding to `rope_parameters`. ExLlamaV2 0.3 looks for
`rope_theta` and `rope_scaling`, which version 4 wrote, and without them takes 10,000 and no scaling: it would
calibrate, and later serve, another model. What it finds is in the result's config.json as well.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def with_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with `rope_theta` and `rope_scaling` where it has `rope_parameters` alone.

    Raises ValueError for parameters with no base, such as those of models that have several.
    """
    parameters = config.get("rope_parameters")
    if parameters is None or "rope_theta" in config:
        return dict(config)
    if not isinstance(parameters, dict) or not isinstance(parameters.get("rope_theta"), int | float):
        raise ValueError("config.json: rope_parameters has no rope_theta, which ExLlamaV2 must be told")
    made = {**config, "rope_theta": parameters["rope_theta"]}
    if parameters.get("rope_type", "default") != "default":
        made["rope_scaling"] = {name: value for name, value in parameters.items() if name != "rope_theta"}
    return made


def write(source: Path, folder: Path) -> None:
    """Link the files of `source` into the new `folder`, all but the config.json that is written anew."""
    config = with_rope(json.loads((source / "config.json").read_text(encoding="utf-8")))
    for path in sorted(source.rglob("*")):
        if path.is_file():
            link = folder / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Write what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        write(arguments.source, arguments.folder)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
