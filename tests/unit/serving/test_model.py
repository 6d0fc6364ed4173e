"""Which file `MODEL` means; the errors' texts are in tests/container/test_model_choice.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from quant_llm_serving.errors import ModelError
from quant_llm_serving.model import find_gguf


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("a.gguf", "sub/b.gguf", "sub/[c].gguf", "sub/._b.gguf", "config.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("a.gguf", "a.gguf"),
        ("*.gguf", "a.gguf"),
        ("./a.gguf", "a.gguf"),
        ("sub/b.gguf", "sub/b.gguf"),
        ("sub/b*", "sub/b.gguf"),
        ("**/b.gguf", "sub/b.gguf"),
        ("sub/[c].gguf", "sub/[c].gguf"),  # a file of that very name comes before the glob
        ("/opt/ml/model/sub/b.gguf", "sub/b.gguf"),
        ("/opt/ml/model/a.*", "a.gguf"),
    ],
)
def test_a_selector_chooses_a_file(directory: Path, selector: str, chosen: str) -> None:
    assert find_gguf(directory, selector).files == (directory / chosen,)


def test_an_absolute_path_elsewhere_is_taken_as_it_is(directory: Path) -> None:
    assert find_gguf(directory / "sub", str(directory / "a.gguf")).files == (directory / "a.gguf",)


def test_a_folder_means_the_one_model_in_it(directory: Path) -> None:
    (directory / "sub" / "[c].gguf").unlink()
    assert find_gguf(directory, "sub").files == (directory / "sub" / "b.gguf",)
    assert find_gguf(directory, "/opt/ml/model/sub/").files == (directory / "sub" / "b.gguf",)


def test_a_glob_that_matches_no_model_is_refused(directory: Path) -> None:
    with pytest.raises(ModelError, match=r"^MODEL 'config\*' matches no GGUF file in "):
        find_gguf(directory, "config*")


def test_a_long_listing_is_cut(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"file-{number:02}.txt").touch()
    with pytest.raises(ModelError, match=r"file-19.txt \(0.0 MB\) and 5 more$"):
        find_gguf(tmp_path, None)


def test_an_empty_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"found no files at all$"):
        find_gguf(tmp_path, None)


def test_shards_are_one_model_with_the_name_they_share(tmp_path: Path) -> None:
    shards = tuple(tmp_path / f"big-Q4-{number:05d}-of-00002.gguf" for number in (1, 2))
    for shard in shards:
        shard.touch()
    for selector in (None, "big-*", "big-Q4-00002-of-00002.gguf"):
        model = find_gguf(tmp_path, selector)
        assert (model.files, model.name) == (shards, "big-Q4")


def test_two_sets_of_shards_are_two_models(tmp_path: Path) -> None:
    for name in ("a-00001-of-00002", "a-00002-of-00002", "b-00001-of-00001"):
        (tmp_path / f"{name}.gguf").touch()
    with pytest.raises(ModelError, match=r"found a-00001-of-00002.gguf \(2 shards, 0.0 MB\), b-00001"):
        find_gguf(tmp_path, None)
