"""LoRA adapters of a model: what is locked of one, and which are refused with their line."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy
import pytest

from quant_llm.agency import AgencyLock
from quant_llm_tools.lock.agency import AgencyOutcome, check_agency, lock_agencies
from tests.unit.lock.fakes import CONFIG, FakeHub, FakeRepository, safetensors_file

WIDTH, LAYERS = 64, 2
MATRIX = "blk.1.attn_q.weight"


def quiet(_line: str) -> None:
    return


def base(path: Path) -> bytes:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_head_count(4)
    writer.add_vocab_size(300)
    writer.add_tensor("token_embd.weight", numpy.zeros((300, WIDTH), dtype=numpy.float16))
    return written(writer, path)


def adapter(
    path: Path,
    *,
    architecture: str = "llama",
    kind: str = "adapter",
    form: str = "lora",
    matrix: str = MATRIX,
    width: int = WIDTH,
    rank: int = 8,
) -> bytes:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", form)
    writer.add_float32("adapter.lora.alpha", 16.0)
    writer.add_tensor(f"{matrix}.lora_a", numpy.zeros((rank, width), dtype=numpy.float32))
    writer.add_tensor(f"{matrix}.lora_b", numpy.zeros((width, rank), dtype=numpy.float32))
    return written(writer, path)


def written(writer: gguf.GGUFWriter, path: Path) -> bytes:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.fixture
def hub(tmp_path: Path) -> FakeHub:
    return FakeHub(
        {
            "owner/model": FakeRepository({"model.gguf": base(tmp_path / "b")}),
            "owner/law": FakeRepository(
                {"gguf/law-F32.gguf": adapter(tmp_path / "a"), "README.md": b"#"}, commit="1a" * 20
            ),
        }
    )


@pytest.fixture
def agency(tmp_path: Path) -> Path:
    path = tmp_path / "agencies" / "moh.yaml"
    path.parent.mkdir()
    path.write_text(
        """\
agency: moh
environment: {account: "123456789012", region: us-east-1}
models:
  - name: chat
    source: {hub: owner/model}
    engine: llama.cpp
    instance_type: ml.g4dn.xlarge
    context_length: 512
    concurrency: 1
    adapters:
      - name: law
        source: {hub: owner/law, files: ["gguf/*"]}
"""
    )
    return path


def lock(path: Path, hub: FakeHub) -> AgencyOutcome:
    (outcome,) = lock_agencies([path], None, quiet, hub)
    return outcome


def test_an_adapter_is_locked_with_its_own_commit_and_its_place_in_the_artifact(
    agency: Path, hub: FakeHub
) -> None:
    assert lock(agency, hub).errors == ()
    model = AgencyLock.read(agency.with_name("moh.lock.json")).models["chat"]
    law = model.adapters["law"]
    content = hub.repositories["owner/law"].contents["gguf/law-F32.gguf"]
    (file,) = law.files
    assert (law.commit, file.path, file.size) == ("1a" * 20, "gguf/law-F32.gguf", len(content))
    assert law.shape.model_dump() == {"format": "gguf", "base": "llama", "rank": 8}
    assert [file.path for file in model.files] == ["model.gguf"]
    assert [file.path for file in model.artifact_files] == ["adapters/law.gguf", "model.gguf"]
    assert model.total_bytes == sum(file.size for file in model.files) + len(content)
    alone = model.model_copy(update={"adapters": {}})
    assert alone.digest != model.digest
    assert '"adapters"' not in AgencyLock(agency="moh", models={"chat": alone}).to_json()
    assert check_agency(agency).errors == ()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"architecture": "qwen2"}, "it is for 'qwen2', the model is of the architecture 'llama'"),
        ({"kind": "model"}, "general.type is 'model', expected a LoRA adapter's GGUF"),
        ({"form": "control_vector"}, "expected a LoRA adapter's GGUF"),
        ({"width": 96}, "is for embeddings of 96, the model has 64: it is another model's"),
        ({"matrix": "blk.2.attn_q.weight"}, "the model has 2 layers: it is another model's"),
    ],
)
def test_an_adapter_of_another_model_is_refused_with_its_line(
    agency: Path, hub: FakeHub, tmp_path: Path, made: dict[str, str | int], message: str
) -> None:
    contents = hub.repositories["owner/law"].contents
    contents["gguf/law-F32.gguf"] = adapter(tmp_path / "other", **made)  # type: ignore[arg-type] # of a table
    (error,) = lock(agency, hub).errors
    assert "moh.yaml:12: models[0].adapters[0].source: adapter 'law': gguf/law-F32.gguf: " in error
    assert message in error
    assert not agency.with_name("moh.lock.json").exists()


def test_two_adapters_in_one_repository_are_to_be_chosen_from(agency: Path, hub: FakeHub) -> None:
    contents = hub.repositories["owner/law"].contents
    contents["gguf/law-Q8_0.gguf"] = contents["gguf/law-F32.gguf"]
    (error,) = lock(agency, hub).errors
    assert "match 2 GGUF models, expected one" in error


def test_a_model_without_its_adapter_is_no_adapter(agency: Path, hub: FakeHub) -> None:
    hub.repositories["owner/law"] = hub.repositories["owner/model"]
    agency.write_text(agency.read_text().replace(', files: ["gguf/*"]', ""))
    (error,) = lock(agency, hub).errors
    assert "general.type is 'model'" in error


def test_another_adapter_than_the_locks_is_stale(agency: Path, hub: FakeHub) -> None:
    lock(agency, hub)
    text = agency.read_text()
    agency.write_text(text.replace("owner/law,", "owner/law, revision: v2,"))
    (error,) = check_agency(agency).errors
    assert (
        "moh.yaml:12: models[0].adapters[0].source.revision: model 'chat' has 'v2' here and 'main'" in error
    )
    agency.write_text(text.replace("name: law", "name: tax"))
    (error,) = check_agency(agency).errors
    assert "moh.yaml:10: models[0].adapters: model 'chat' has ['tax'] here and ['law']" in error


def test_a_report_tells_what_changed_of_an_adapter(agency: Path, hub: FakeHub, tmp_path: Path) -> None:
    from quant_llm_tools.lock.report import differences

    before = lock(agency, hub).after["chat"]
    hub.repositories["owner/law"].contents["gguf/law-F32.gguf"] = adapter(tmp_path / "new", rank=16)
    after = lock(agency, hub).after["chat"]
    assert [found.field for found in differences(before, after)] == [
        "adapters.law.rank",
        "adapters.law.gguf/law-F32.gguf",
    ]


PEFT = {"peft_type": "LORA", "r": 12, "bias": "none", "base_model_name_or_path": "owner/original"}
TENSOR = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"


def peft(name: str = TENSOR, *, width: int = WIDTH, **config: object) -> dict[str, bytes]:
    return {
        "law/adapter_config.json": json.dumps({**PEFT, **config}).encode(),
        "law/adapter_model.safetensors": safetensors_file({name: (12, width)}),
        "law/README.md": b"#",
    }


@pytest.fixture
def vllm(agency: Path, hub: FakeHub) -> Path:
    hub.repositories["owner/model"] = FakeRepository(
        {"model.safetensors": safetensors_file({"a": (64, 100)}), "config.json": json.dumps(CONFIG).encode()}
    )
    hub.repositories["owner/law"] = FakeRepository(peft())
    agency.write_text(agency.read_text().replace("llama.cpp", "vllm").replace(', files: ["gguf/*"]', ""))
    return agency


def test_an_adapter_in_pefts_form_is_a_folder_in_the_artifact(vllm: Path, hub: FakeHub) -> None:
    assert lock(vllm, hub).errors == ()
    model = AgencyLock.read(vllm.with_name("moh.lock.json")).models["chat"]
    assert model.adapters["law"].shape.model_dump() == {
        "format": "safetensors",
        "base": "owner/original",
        "rank": 12,
    }
    assert [file.path for file in model.artifact_files] == [
        "adapters/law/adapter_config.json",
        "adapters/law/adapter_model.safetensors",
        "config.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (peft(peft_type="IA3"), "peft_type in adapter_config.json is 'IA3', expected 'LORA'"),
        (peft(use_dora=True), "use_dora in adapter_config.json is True, which vLLM does not load"),
        (peft(modules_to_save=["lm_head"]), "modules_to_save in adapter_config.json is ['lm_head']"),
        (peft(r=1024), "r in adapter_config.json is 1024, expected a rank from 1 to 512"),
        (peft(width=96), "is for embeddings of 96, the model has 64: it is another model's"),
        (peft(TENSOR.replace(".1.", ".2.")), "the model has 2 layers: it is another model's"),
        (peft("x.weight"), "it has no tensor whose name ends in '.lora_A.weight'"),
        ({**peft(), "law/adapter_config.json": b"["}, "law/adapter_config.json is not JSON"),
        ({"README.md": b"#"}, "in one folder, found none: choose by `source.files`"),
        (
            {**peft(), "tax/adapter_config.json": b"{}"},
            "found law/adapter_config.json, tax/adapter_config.json,",
        ),
    ],
)
def test_an_adapter_that_vllm_would_not_load_is_refused_with_its_line(
    vllm: Path, hub: FakeHub, contents: dict[str, bytes], message: str
) -> None:
    hub.repositories["owner/law"] = FakeRepository(contents)
    (error,) = lock(vllm, hub).errors
    assert "moh.yaml:12: models[0].adapters[0].source: adapter 'law': " in error
    assert message in error


def test_files_choose_one_adapter_of_several(vllm: Path, hub: FakeHub) -> None:
    others = {path.replace("law/", "tax/"): content for path, content in peft().items()}
    hub.repositories["owner/law"] = FakeRepository({**peft(), **others})
    vllm.write_text(vllm.read_text().replace("{hub: owner/law}", '{hub: owner/law, files: ["tax/*"]}'))
    assert lock(vllm, hub).errors == ()
