"""llama-server's options and command line."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

import pytest

from quant_llm_serving.adapters import Adapters
from quant_llm_serving.environment import read_environment
from quant_llm_serving.errors import ConfigurationError, ModelError
from quant_llm_serving.llama_server_options import documented_options, known_options
from quant_llm_serving.llamacpp import REFUSED, LlamaCpp
from quant_llm_serving.model import Gguf
from tests.container.gguf_files import write_gguf

ENGINE = LlamaCpp()
# In the binary, but read by other programs of llama.cpp than its server, or removed and refused by it.
NOT_THE_SERVERS = {
    "LLAMA_ARG_DRAFT_MAX",
    "LLAMA_ARG_DRAFT_MIN",
    "LLAMA_ARG_FIT_ESTIMATE",
    "LLAMA_ARG_GRP_ATTN_N",
    "LLAMA_ARG_GRP_ATTN_W",
    "LLAMA_ARG_SHOW_TIMINGS",
}


def test_the_table_of_options_is_that_of_the_llama_cpp_on_this_machine() -> None:
    package = importlib.util.find_spec("xllamacpp")
    assert package is not None
    assert package.origin is not None
    (library,) = Path(package.origin).parent.glob("*.so")
    in_library = {
        name.decode() for name in re.findall(rb"(LLAMA_ARG_[A-Z0-9_]*[A-Z0-9])\0", library.read_bytes())
    }
    assert in_library > NOT_THE_SERVERS
    ours = {name for name in known_options() if name.startswith("LLAMA_ARG_")}
    assert in_library - NOT_THE_SERVERS - ours == set()
    negated = {name for name in ours - in_library if "_ARG_NO_" in name}
    assert ours - in_library == negated
    assert {name.replace("_ARG_NO_", "_ARG_") for name in negated} <= in_library


def test_options_are_read_from_the_servers_readme() -> None:
    readme = "\n".join(
        [
            "| `-c, --ctx-size N` | size of the context (default: 0)<br/>(env: LLAMA_ARG_CTX_SIZE) |",
            "| `--ui, --webui, --no-ui, --no-webui` | the Web UI<br/>(env: LLAMA_ARG_UI) |",
            "| `--no-host` | bypass host buffer<br/>(env: LLAMA_ARG_NO_HOST) |",
            "| `--draft N` | the argument has been removed. use another<br/>(env: LLAMA_ARG_DRAFT_MAX) |",
            "| `-hft, --hf-token TOKEN` | access token<br/>(env: HF_TOKEN) |",
            "| `--keep N` | number of tokens to keep |",
        ]
    )
    assert documented_options(readme) == [
        "LLAMA_ARG_CTX_SIZE",
        "LLAMA_ARG_NO_HOST",
        "LLAMA_ARG_NO_UI",
        "LLAMA_ARG_UI",
    ]


def test_only_llama_cpps_options_are_passed_on_with_our_default_for_the_prompt_cache() -> None:
    variables = {"LLAMA_ARG_CTX_SIZE": "8192", "MODEL": "x", "HF_TOKEN": "secret", "PATH": "/bin"}
    assert ENGINE.options(variables) == {"LLAMA_ARG_CACHE_RAM": "2048", "LLAMA_ARG_CTX_SIZE": "8192"}
    assert ENGINE.options({"LLAMA_ARG_CACHE_RAM": "0"}) == {"LLAMA_ARG_CACHE_RAM": "0"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LLAMA_ARG_CTX_SIZES", ", did you mean LLAMA_ARG_CTX_SIZE"),
        ("LLAMA_ARG_NPARALLEL", ", did you mean LLAMA_ARG_N_PARALLEL"),
        ("LAMA_ARG_N_PARALLEL", ", did you mean LLAMA_ARG_N_PARALLEL"),
        ("LLAMA_CTX_SIZE", ", did you mean LLAMA_ARG_CTX_SIZE"),
        ("LLAMA_ARG_DRAFT_MAX", ", did you mean LLAMA_ARG_"),
        ("LLAMA_XYZ", ""),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^llama-server has no option {name}{hint}"):
        ENGINE.options({name: "1"})


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("LLAMA_ARG_LORA", "SERVING_LORA"),
        ("LLAMA_ARG_LORA_SCALED", "SERVING_LORA"),
        ("LLAMA_ARG_MODEL_DRAFT", "LLAMA_ARG_SPEC_DRAFT_MODEL"),
    ],
)
def test_a_name_that_one_would_expect_is_refused_with_the_one_there_is(name: str, instead: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^llama-server has no option {name}, set {instead}"):
        ENGINE.options({name: "a.gguf"})


@pytest.mark.parametrize(("value", "slots"), [(None, 4), ("", 4), ("-1", 4), ("1", 1), ("64", 64)])
def test_as_many_requests_run_as_llama_server_has_slots(value: str | None, slots: int) -> None:
    variables = {} if value is None else {"LLAMA_ARG_N_PARALLEL": value}
    assert ENGINE.abilities(ENGINE.options(variables)).slots == slots


@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5"])
def test_a_number_of_slots_that_can_not_be_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^LLAMA_ARG_N_PARALLEL must be .*, got '{value}'$"):
        ENGINE.options({"LLAMA_ARG_N_PARALLEL": value})


def test_a_draft_model_that_llama_server_would_not_ask_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs LLAMA_ARG_SPEC_TYPE, expected draft-simple"):
        ENGINE.options({"LLAMA_ARG_SPEC_DRAFT_MODEL": "small.gguf"})


def test_a_chat_template_beside_the_model_need_not_be_a_gguf(tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    variables = {"SM_MODEL_DIR": str(tmp_path), "LLAMA_ARG_CHAT_TEMPLATE_FILE": "chat.jinja"}
    assert ENGINE.options(variables)["LLAMA_ARG_CHAT_TEMPLATE_FILE"] == str(tmp_path / "chat.jinja")


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_option_that_is_the_containers_is_refused_with_the_reason(name: str) -> None:
    assert name in known_options()
    with pytest.raises(ConfigurationError, match=f"^{name} can't be set: {REFUSED[name]}$"):
        ENGINE.options({name: "1"})


def test_layers_on_the_gpu_by_both_names_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="are the same option"):
        ENGINE.options({"N_GPU_LAYERS": "999", "LLAMA_ARG_N_GPU_LAYERS": "10"})


def test_the_command_line() -> None:
    environment = replace(read_environment({}), gpu_layers="999")
    model = Gguf((Path("/m/big, new-00001-of-00002.gguf"), Path("/m/big, new-00002-of-00002.gguf")))
    command = ENGINE.command(environment, {"LLAMA_ARG_CTX_SIZE": "8"}, model, Path("/e/engine.sock"))
    assert command.arguments == (
        *("llama-server", "--model", "/m/big, new-00001-of-00002.gguf", "--host", "/e/engine.sock"),
        *("--metrics", "--no-ui", "--n-gpu-layers", "999"),
    )
    assert command.environment == {"LLAMA_ARG_ALIAS": "big_ new", "LLAMA_ARG_CTX_SIZE": "8"}


def test_every_shard_is_checked(tmp_path: Path) -> None:
    first, second = (write_gguf(tmp_path / f"m-{number:05d}-of-00002.gguf") for number in (1, 2))
    environment = replace(read_environment({}), model_directory=tmp_path)
    assert ENGINE.find_model(environment).files == (first, second)
    second.write_bytes(second.read_bytes()[:-40])
    with pytest.raises(ModelError, match=r"m-00002-of-00002\.gguf is truncated"):
        ENGINE.find_model(environment)


def test_what_is_served_follows_from_the_options() -> None:
    assert "/v1/embeddings" not in ENGINE.abilities({}).routes
    assert ENGINE.abilities({"LLAMA_ARG_EMBEDDINGS": "true"}).routes == {"/v1/embeddings"}
    assert ENGINE.abilities({"LLAMA_ARG_EMBEDDINGS": "0"}).routes == ENGINE.abilities({}).routes
    assert ENGINE.abilities({}).content_types == {"text"}
    assert "image_url" in ENGINE.abilities({"LLAMA_ARG_MMPROJ": "/opt/ml/model/mmproj.gguf"}).content_types


NAMED = {"SERVING_LORA": "law=a.gguf,tax=b.gguf"}


def test_requests_for_different_adapters_share_no_prompt_cache() -> None:
    assert ENGINE.options(NAMED) == {"LLAMA_ARG_CACHE_RAM": "0"}
    with pytest.raises(ConfigurationError, match=r"^LLAMA_ARG_CACHE_RAM must be 0 with adapters"):
        ENGINE.options({**NAMED, "LLAMA_ARG_CACHE_RAM": "2048"})
    always = {"SERVING_LORA": "a.gguf"}  # a request's field `lora` may scale it
    assert ENGINE.options(always) == {"LLAMA_ARG_CACHE_RAM": "0"}
    assert ENGINE.options({**always, "LLAMA_ARG_CACHE_RAM": "9"}) == {"LLAMA_ARG_CACHE_RAM": "9"}


def test_adapters_are_not_for_embeddings() -> None:
    with pytest.raises(ConfigurationError, match="can't have names with LLAMA_ARG_EMBEDDINGS"):
        ENGINE.options({**NAMED, "LLAMA_ARG_EMBEDDINGS": "1"})


def test_an_adapter_has_a_name_beside_the_models() -> None:
    model = Gguf((Path("/m/law.gguf"),))
    environment = read_environment(NAMED)
    with pytest.raises(ConfigurationError, match="an adapter of the model's own name 'law'"):
        ENGINE.adapters(environment, {}, model)
    found = ENGINE.adapters(environment, {"LLAMA_ARG_ALIAS": "base, chat"}, model)
    assert found == Adapters(("law", "tax"), ("base", "chat"))
    assert ENGINE.adapters(read_environment({"SERVING_LORA": "a.gguf"}), {}, model) is None
