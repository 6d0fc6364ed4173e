"""Which files are taken, and which names are refused."""

from __future__ import annotations

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm.names import artifact_key
from quant_llm_tools.lock.selection import HubFile, human_bytes, select_files, weight_files


def hub_file(path: str, size: int = 1000) -> HubFile:
    return HubFile(path, size, "0" * 40, "0" * 64)


def select(engine: str, paths: list[str], *patterns: str) -> list[str]:
    return [file.path for file in select_files([hub_file(path) for path in paths], engine, patterns)]


GGUF_REPOSITORY = [
    ".gitattributes",
    "README.md",
    "config.json",
    "m.Q4_K_M.gguf",
    "m.Q8_0.gguf",
    "big/m-00001-of-00002.gguf",
    "big/m-00002-of-00002.gguf",
]


def test_pattern_takes_the_one_gguf() -> None:
    assert select("llama.cpp", GGUF_REPOSITORY, "*Q4_K_M.gguf") == ["m.Q4_K_M.gguf"]


def test_star_matches_folders_as_hf_download_does() -> None:
    shards = ["big/m-00001-of-00002.gguf", "big/m-00002-of-00002.gguf"]
    assert select("llama.cpp", GGUF_REPOSITORY, "*-of-*.gguf") == shards
    assert select("llama.cpp", GGUF_REPOSITORY, "big/*") == shards


def test_pattern_without_star_is_a_path_and_not_a_name_in_any_folder() -> None:
    with pytest.raises(QuantLlmError, match=r"no file matches the pattern 'm-00001-of-00002\.gguf'"):
        select("llama.cpp", GGUF_REPOSITORY, "m-00001-of-00002.gguf")


def test_patterns_are_case_sensitive() -> None:
    with pytest.raises(QuantLlmError, match="no file matches"):
        select("llama.cpp", GGUF_REPOSITORY, "*q4_k_m.gguf")


def test_other_files_may_be_taken_beside_the_gguf() -> None:
    taken = select("llama.cpp", GGUF_REPOSITORY, "*Q8_0.gguf", "config.json")
    assert taken == ["config.json", "m.Q8_0.gguf"]


def test_one_pattern_of_several_that_matches_nothing_is_an_error_with_the_candidates() -> None:
    with pytest.raises(QuantLlmError, match=r"pattern '\*Q5\*'; the repository has .*m.Q8_0.gguf \(1.0 kB\)"):
        select("llama.cpp", GGUF_REPOSITORY, "*Q8_0.gguf", "*Q5*")


def test_without_patterns_the_one_gguf_is_taken_alone() -> None:
    assert select("llama.cpp", ["README.md", "config.json", "m.gguf"]) == ["m.gguf"]


def test_several_ggufs_are_an_error_that_lists_patterns_with_sizes() -> None:
    with pytest.raises(QuantLlmError) as error:
        select("llama.cpp", GGUF_REPOSITORY)
    assert str(error.value) == (
        "the repository has 3 GGUF models, expected one: choose by `source.files` from "
        "big/m-*-of-00002.gguf (2.0 kB), m.Q4_K_M.gguf (1.0 kB), m.Q8_0.gguf (1.0 kB)"
    )


def test_two_matching_ggufs_are_an_error_that_names_the_patterns() -> None:
    with pytest.raises(QuantLlmError, match=r"the patterns \['m\.\*'\] match 2 GGUF models"):
        select("llama.cpp", GGUF_REPOSITORY, "m.*")


def test_no_gguf_is_an_error_that_lists_what_is_there() -> None:
    with pytest.raises(QuantLlmError, match=r"has no GGUF, which llama.cpp needs; .* has m.safetensors"):
        select("llama.cpp", ["m.safetensors"])


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ["m-00001-of-00003.gguf", "m-00003-of-00003.gguf"],
            "missing m-00002-of-00003.gguf, unexpected none",
        ),
        (
            ["m-00001-of-00001.gguf", "m-00002-of-00001.gguf"],
            "missing none, unexpected m-00002-of-00001.gguf",
        ),
    ],
)
def test_incomplete_shard_set_is_an_error(paths: list[str], message: str) -> None:
    with pytest.raises(QuantLlmError, match=message):
        select("llama.cpp", paths)


def test_many_candidates_are_shortened() -> None:
    with pytest.raises(QuantLlmError, match=r"and 5 more$"):
        select("llama.cpp", [f"m{number}.gguf" for number in range(25)])


SAFETENSORS_REPOSITORY = [
    ".gitattributes",
    "LICENSE.txt",
    "README.md",
    "chat_template.jinja",
    "config.json",
    "consolidated.safetensors",
    "generation_config.json",
    "m.gguf",
    "measurement.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "modeling_m.py",
    "onnx/config.json",
    "original/model.safetensors",
    "picture.png",
    "pytorch_model.bin",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
]


@pytest.mark.parametrize("engine", ["vllm", "exllamav2"])
def test_default_is_weights_config_and_tokenizer_of_the_root(engine: str) -> None:
    assert select(engine, SAFETENSORS_REPOSITORY) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    ]


def test_given_patterns_replace_the_default() -> None:
    taken = select("vllm", SAFETENSORS_REPOSITORY, "consolidated.safetensors", "config.json", "*.py")
    assert taken == ["config.json", "consolidated.safetensors", "modeling_m.py"]


@pytest.mark.parametrize(
    ("paths", "missing"),
    [
        (["config.json", "pytorch_model.bin"], r"\*.safetensors"),
        (["model.safetensors", "sub/config.json"], "config.json"),
    ],
)
def test_repository_that_the_engine_cannot_load_is_an_error(paths: list[str], missing: str) -> None:
    with pytest.raises(QuantLlmError, match=f"root has no {missing}, which vllm needs; the repository has"):
        select("vllm", paths)


def test_weight_files_are_told_from_the_rest() -> None:
    files = [hub_file(path) for path in ("config.json", "m.gguf", "m.safetensors")]
    assert [file.path for file in weight_files(files, "llama.cpp")] == ["m.gguf"]
    assert [file.path for file in weight_files(files, "vllm")] == ["m.safetensors"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/m.gguf", "absolute"),
        ("../m.gguf", r"'\.\.'"),
        ("a/./m.gguf", r"'\.'"),
        ("a//m.gguf", "empty part"),
        ("a\\m.gguf", "backslash"),
        ("a\nm.gguf", "control character"),
        ("a\0m.gguf", "control character"),
        ("x" * 251 + ".gguf", "longer than 255 bytes"),
        ("ü" * 126 + ".gguf", "longer than 255 bytes"),
        ("folder/" * 126 + "m.gguf", "longer than 882 bytes"),
    ],
)
def test_name_that_an_archive_cannot_carry_is_refused(path: str, reason: str) -> None:
    with pytest.raises(QuantLlmError, match=f"is refused: .*{reason}"):
        select("llama.cpp", [path])


def test_name_of_255_bytes_is_taken() -> None:
    assert select("llama.cpp", ["x" * 250 + ".gguf"])


def test_the_longest_path_fits_into_a_key_of_the_longest_names() -> None:
    path = f"{'f' * 255}/{'g' * 255}/{'h' * 255}/{'m' * (882 - 3 * 256 - 5)}.gguf"
    assert len(path) == 882
    assert select("llama.cpp", [path])
    assert len(artifact_key("n" * 63, "d" * 64, "s3-prefix") + path) == 1024


@pytest.mark.parametrize(
    "names",
    [
        ("a.json", "A.json"),
        ("\u00fc.json", "u\u0308.json"),
        ("A/b.json", "a/c.json"),
        ("a", "a/b.json"),
        ("a.json", "a.json"),
    ],
)
def test_names_that_clash_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(QuantLlmError, match=r"clash|twice"):
        select("llama.cpp", ["m.gguf", *names], "*")


def test_clashing_names_that_are_not_taken_do_not_matter() -> None:
    assert select("llama.cpp", ["m.gguf", "readme.md", "README.md", "../x"]) == ["m.gguf"]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (4_368_439_584, "4.4 GB")],
)
def test_sizes_are_decimal(size: int, text: str) -> None:
    assert human_bytes(size) == text
