"""The text of a plan that is made up, letter by letter, and the width of every plan of the examples."""

from __future__ import annotations

from typing import Any

import pytest

from quant_llm.catalogue import load_catalogue
from quant_llm.paths import ROOT
from quant_llm_tools.cli import main
from quant_llm_tools.plan.document import Plan
from quant_llm_tools.plan.text import text

FIXTURES = ROOT / "tests" / "fixtures" / "agencies"
GIB = 2**30


def planned(
    instance_type: str,
    gpus: tuple[int, str],
    need: float,
    usable: float | None,
    price: tuple[float, str] | None,
    *reasons: tuple[str, str],
    **changed: Any,
) -> dict[str, Any]:
    return {
        "instance_type": instance_type,
        "gpu_model": gpus[1],
        "gpu_count": gpus[0],
        "fits": not reasons,
        "reasons": [{"code": code, "expected": expected} for code, expected in reasons],
        "memory": {
            "weights": int(need * GIB),
            "kv_cache": 0,
            "overhead": 0,
            "total": int(need * GIB),
            "usable": usable and int(usable * GIB),
        },
        "tokens_per_s_limit": 73.2,
        "measured": None,
        "price": price
        and {
            "usd_per_hour": price[0],
            "usd_per_month_at_min": price[0] * 730,
            "usd_per_month_at_max": price[0] * 730 * 4,
            "basis": price[1],
            "as_of": "2026-08",
            "note": "a list",
        },
        **changed,
    }


MEASURED = {
    "tokens_per_s_least": 118.0,
    "tokens_per_s_most": 130.0,
    "model": "Llama 7B",
    "source": "a page, 2024-05",
}
T4 = ("engine", "a GPU that ExLlamaV2 runs on, of compute capability 8.0 or later: NVIDIA T4 has 7.5")
TYPES = [
    planned("ml.g5.xlarge", (1, "NVIDIA A10G"), 8.0, 21.7, (1.408, "published"), measured=MEASURED),
    planned("ml.g6.xlarge", (1, "NVIDIA L4"), 8.0, 21.7, (1.13, "estimate"), tokens_per_s_limit=4.6),
    planned(
        "ml.p5.48xlarge", (8, "NVIDIA H100 80GB"), 120.0, 139.9, (63.3, "estimate"), tokens_per_s_limit=None
    ),
    planned("ml.g7e.48xlarge", (8, "NVIDIA RTX PRO 6000 Blackwell Server Edition"), 1.0, 86.4, None),
    planned("ml.g4dn.xlarge", (1, "NVIDIA T4"), 16.3, 14.6, (0.7364, "published"), T4, ("memory", "more")),
    planned("ml.x.huge", (1, "NVIDIA X"), 16.3, None, None, ("memory", "a GPU whose memory is known")),
]
PLAN: dict[str, Any] = {
    "models": [
        {
            "name": "moh: chat",
            "repository": "TheBloke/Mistral-7B-Instruct-v0.2-GPTQ",
            "revision": "main",
            "commit": "c0ffee" + "0" * 34,
            "region": "us-east-1",
            "context_length": 8192,
            "concurrency": 8,
            "least_instances": 1,
            "most_instances": 4,
            "asked": "ml.g4dn.xlarge",
            "advice": {
                "bits_without_loss": 8,
                "bits_with_2_to_3_percent_loss": 4,
                "because": "4 bits cost about 2 %",
                "source": "a paper",
            },
            "quantizations": [
                {
                    "quantization": "GPTQ-4bit",
                    "engine": "exllamav2",
                    "files": [],
                    "place": "",
                    "bits_per_weight": 4.3,
                    "parameters": 7_241_732_096,
                    "weight_bytes": 4_160_000_000,
                    "total_bytes": 4_200_000_000,
                    "notes": ["something to know"],
                    "auto": "ml.g5.xlarge",
                    "shorter_context": None,
                    "types": TYPES,
                }
            ],
            "left_out": [{"name": "bad.gguf", "reason": "no header"}],
        }
    ]
}

SHORT = """\
moh: chat (TheBloke/Mistral-7B-Instruct-v0.2-GPTQ at c0ffee000000)
  us-east-1; 8,192 tokens x 8 at a time; instances: 1 to 4
  instance_type: ml.g4dn.xlarge, marked with >

GPTQ-4bit  4.2 GB, 4.30 bits a weight, 7.24 B parameters, exllamav2
  note: something to know
 type           GPUs   GPU memory, GiB        tok/s    $/h     $/month
 ml.g5.xlarge   1 A10G [####......] 8.0/21.7    <73  1.408 1,028-4,111
 ml.g6.xlarge   1 L4   [####......] 8.0/21.7   <4.6 ~1.130  ~825-3,300
>ml.g4dn.xlarge 1 T4   [!!!!!!!!!!] 16.3/14.6   <73  0.736   538-2,150
   no: expected a GPU that ExLlamaV2 runs on, of compute capability 8.0 or
     later: NVIDIA T4 has 7.5
   no: expected more
  ml.g5.xlarge: 118 to 130 tok/s were measured with Llama 7B (a page, 2024-05)
  no, engine and memory: ml.g4dn.xlarge
  no, memory: ml.x.huge
  --all shows 2 more that fit and why the others don't

left out: bad.gguf: no header

Bits a weight: 8 without loss; 4 where 2 to 3 % loss will do (here GPTQ-4bit). 4
  bits cost about 2 %.
Source: a paper
Other quantisations of that repository:
  quantllm plan TheBloke/Mistral-7B-Instruct-v0.2-GPTQ
"""


def shown(most_types: int | None, **changed: Any) -> str:
    model = PLAN["models"][0] | changed
    return text(Plan.model_validate({"models": [model]}), most_types)


def test_the_short_text_is_this() -> None:
    assert shown(2).split("\nGiB: needed")[0] == SHORT


def test_all_types_with_all_reasons_and_no_word_of_more() -> None:
    lines = shown(None).splitlines()
    rows = [line[1:].split()[0] for line in lines if line[1:4] == "ml."]
    assert rows == [one["instance_type"] for one in TYPES]
    assert "] 16.3/?" in "\n".join(lines)
    assert "] 120/140" in "\n".join(lines)
    assert "unknown" in next(line for line in lines if "ml.g7e" in line)
    assert not any("--all" in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_auto_is_marked_even_when_it_is_not_among_the_first() -> None:
    quantization = PLAN["models"][0]["quantizations"][0] | {"auto": "ml.p5.48xlarge"}
    lines = shown(1, asked="auto", quantizations=[quantization]).splitlines()
    marked = [line.split()[0] for line in lines if line.startswith(">")]
    assert marked == [">ml.p5.48xlarge"]


def test_a_repository_has_no_mark_and_its_name_once() -> None:
    name = PLAN["models"][0]["repository"]
    said = shown(1, name=name, asked=None)
    assert said.count(name) == 1
    assert "instance_type" not in said
    assert "\n>" not in said


def test_nothing_fits_is_said_with_what_would() -> None:
    quantization = PLAN["models"][0]["quantizations"][0] | {
        "types": TYPES[4:],
        "auto": None,
        "shorter_context": {"instance_type": "ml.g4dn.xlarge", "context_length": 2048},
    }
    said = shown(2, asked=None, quantizations=[quantization])
    assert "nothing fits in us-east-1; with 2,048 tokens a request ml.g4dn.xlarge" in said
    assert "--all shows why the others don't" in said
    assert "GPU memory" not in said


@pytest.mark.parametrize("agency", ["default", "health", "justice"])
def test_no_line_is_longer_than_80_columns_in_any_region(
    agency: str, capsys: pytest.CaptureFixture[str]
) -> None:
    regions = sorted({region for one in load_catalogue().instances for region in one.hosting_regions})
    for region in regions:
        assert main(["plan", str(FIXTURES / f"{agency}.yaml"), "--region", region, "--all"]) == 0
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 80, out
        assert out.isascii()


def test_json_is_the_document_of_all_types(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(FIXTURES / "default.yaml"), "--json"]) == 0
    plan = Plan.model_validate_json(capsys.readouterr().out)
    assert plan.schema_version == 1
    types = plan.models[0].quantizations[0].types
    assert len(types) == len(load_catalogue().hosted_in("us-east-1"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere/agency.yaml"], "can't be read: No such file"),
        (["https://huggingface.co/TheBloke/Mistral-GGUF"], "did you mean 'TheBloke/Mistral-GGUF'?"),
        (["a/b/c"], "expected an agency file (there is no a/b/c) or a repository of the hub"),
        (["a/b", "--region", "us-esat-1"], "got 'us-esat-1', expected an AWS region, such as us-east-1; did"),
    ],
)
def test_what_cannot_be_planned_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--context-length", "127"],
        ["--concurrency", "0"],
        ["--concurrency", "-1"],
        ["--max-types", "many"],
        ["--all", "--json"],
        ["--engine", "transformers"],
    ],
)
def test_wrong_usage_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["plan", "default", *arguments])
    assert left.value.code == 2
    assert arguments[0] in capsys.readouterr().err
