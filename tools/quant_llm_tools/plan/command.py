"""`quantllm plan`: instance types x quantisations of the models of an agency file, or of a hub repository."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from quant_llm.errors import QuantLlmError
from quant_llm_tools.agencies import agency_path
from quant_llm_tools.number_arguments import at_least

if TYPE_CHECKING:
    from quant_llm_tools.plan.subject import Subject, Wishes

DEFAULT_TYPES = 3
ENGINES = ("llama.cpp", "exllamav2", "vllm", "tgi")

_DESCRIPTION = """
Shows which instance types of a region can serve a model, why the others can't, how much of a GPU's memory is
needed, how fast it can be at most and what it costs. Of an agency file it takes the locks; what is not locked
is looked up at the hub, as is a repository: listing and headers only. HF_ENDPOINT names another hub, HF_TOKEN
holds the token for gated models. Changes nothing.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `plan`."""
    parser = subparsers.add_parser(
        "plan", help="show which instances can serve a model, and their price", description=_DESCRIPTION
    )
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="agency, path of its file, or hub repository `owner/name[@revision]`",
    )
    parser.add_argument(
        "--region", help="another region than the file's; for a repository the default is us-east-1"
    )
    parser.add_argument(
        "--context-length",
        type=at_least(128),
        metavar="TOKENS",
        help="tokens of each request, prompt and answer; for a repository the default is 4096, or less if "
        "the model was made for less",
    )
    parser.add_argument(
        "--concurrency",
        type=at_least(1),
        metavar="N",
        help="requests that an instance serves at a time; for a repository the default is 4",
    )
    parser.add_argument(
        "--engine", choices=ENGINES, help="only what runs on this engine; tgi is left out otherwise"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--max-types",
        type=at_least(1),
        default=DEFAULT_TYPES,
        metavar="N",
        help="show so many types that fit of each quantisation; default: %(default)s",
    )
    shown.add_argument("--all", action="store_true", help="show all types, and in full what is against them")
    shown.add_argument("--json", action="store_true", help="print all of it as one JSON document")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan and return the exit code."""
    from quant_llm_tools.plan.document import Plan
    from quant_llm_tools.plan.planning import plan_model
    from quant_llm_tools.plan.subject import Wishes
    from quant_llm_tools.plan.text import text

    if arguments.region is not None:
        _check_region(arguments.region)
    wishes = Wishes(arguments.region, arguments.context_length, arguments.concurrency, arguments.engine)
    subjects = _subjects(arguments.target, wishes, quiet=arguments.json)
    plan = Plan(models=tuple(plan_model(subject) for subject in subjects))
    if arguments.json:
        print(plan.model_dump_json(indent=2))
    else:
        print(text(plan, None if arguments.all else arguments.max_types))
    return 0


def _subjects(target: str, wishes: Wishes, *, quiet: bool) -> list[Subject]:
    progress = _quiet if quiet else _to_stderr
    path = agency_path(target)
    if path.exists() or path.suffix in (".yaml", ".yml"):
        from quant_llm_tools.plan.from_agency import agency_subjects

        return agency_subjects(path, wishes, progress)
    from quant_llm_tools.plan.from_hub import hub_subject

    name, revision = _repository(target, path)
    return [hub_subject(name, revision, wishes, progress)]


def _repository(target: str, path: Path) -> tuple[str, str]:
    from quant_llm.agency import forms

    name, _, revision = target.partition("@")
    if not forms.REPOSITORY.fits(name):
        mended = forms.REPOSITORY.mend(name)
        hint = f"; did you mean {mended!r}?" if mended and forms.REPOSITORY.fits(mended) else ""
        raise QuantLlmError(
            f"got {target!r}, expected an agency file (there is no {path}) or a repository of the hub, "
            f"owner/name[@revision]{hint}"
        )
    return name, revision or "main"


def _check_region(region: str) -> None:
    from quant_llm.agency.aws_names import regions
    from quant_llm.agency.problems import nearest

    if region not in regions():
        near = nearest(region, regions())
        hint = f"; did you mean {near!r}?" if near else ""
        raise QuantLlmError(f"--region: got {region!r}, expected an AWS region, such as us-east-1{hint}")


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(_line: str) -> None:
    """Progress that nobody asked for."""
