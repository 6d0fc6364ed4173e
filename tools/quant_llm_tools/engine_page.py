"""The tables of docs/engines.md, out of the catalogue: `python -m quant_llm_tools.engine_page` writes them.

They stand between two comments each, and the rest of the page is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import get_args

from quant_llm.agency import Engine
from quant_llm.catalogue import NEEDS, is_published, load_catalogue
from quant_llm.catalogue.engine_images import load_published_images
from quant_llm.catalogue.engine_needs import AMIS, dotted
from quant_llm.catalogue.engine_options import RESERVED
from quant_llm.catalogue.formats import READS
from quant_llm.paths import ROOT

PAGE = ROOT / "docs" / "engines.md"

ENGINES: tuple[Engine, ...] = get_args(Engine)


def page() -> str:
    """The page with every table as the catalogue has it now."""
    text = PAGE.read_text(encoding="utf-8")
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}: written by quant_llm_tools.engine_page -->\n", "<!-- end -->"
        parts = re.split(f"({re.escape(begin)})(.*?)({re.escape(end)})", text, flags=re.DOTALL)
        if len(parts) != 5:
            raise ValueError(f"{PAGE} must have the table {name!r} once, between its comments")
        parts[2] = make()
        text = "".join(parts)
    return text


def _engines() -> str:
    return _table(
        ("`engine`", "weights", "GPUs, by compute capability", "least driver", "container"),
        (
            (
                f"`{engine}`",
                ", ".join(READS[engine]),
                NEEDS[engine].expected,
                str(NEEDS[engine].driver),
                _container(engine),
            )
            for engine in ENGINES
        ),
    )


def _container(engine: Engine) -> str:
    if not is_published(engine):
        return "the stack builds it"
    image = load_published_images().images[engine]
    return f"AWS's `{image.repository}:{image.tag}`"


def _gpus() -> str:
    models = {one.gpu_model: one for one in load_catalogue().instances}
    by_capability = sorted(models.values(), key=lambda one: (one.cuda_compute_capability, one.gpu_model))
    rows = (
        (
            one.gpu_model.removeprefix("NVIDIA "),
            ", ".join(
                sorted({of.family for of in load_catalogue().instances if of.gpu_model == one.gpu_model})
            ),
            dotted(one.cuda_compute_capability),
            *(_reads_on(engine, one.cuda_compute_capability) for engine in ENGINES),
        )
        for one in by_capability
    )
    return _table(("GPU", "families", "capability", *(f"`{engine}`" for engine in ENGINES)), rows)


def _reads_on(engine: Engine, capability: tuple[int, int]) -> str:
    if not NEEDS[engine].runs_on(capability):
        return "-"
    lacking = [kind for kind, least in READS[engine].items() if capability < least]
    return "yes, without " + ", ".join(lacking) if lacking else "yes"


def _reserved() -> str:
    rows = (
        (f"`{engine}`", ", ".join(f"`{name}`" for name, why in names.items() if why == advice), advice)
        for engine, names in RESERVED.items()
        for advice in dict.fromkeys(names.values())
    )
    return _table(("`engine`", "refused in `environment`", "because"), rows)


def _drivers() -> str:
    runs = {ami: [f"`{one}`" for one in ENGINES if NEEDS[one].driver <= ami.driver] for ami in AMIS}
    rows = (
        (f"`{ami.name}`", str(ami.driver), ", ".join(engines)) for ami, engines in runs.items() if engines
    )
    return _table(("`InferenceAmiVersion`", "driver", "runs"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "engines": _engines,
    "gpus": _gpus,
    "drivers": _drivers,
    "reserved": _reserved,
}


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = tuple(header)
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Write the page, and return the exit code."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
