"""The generated agency files: right, different, and the same again."""

from __future__ import annotations

from pathlib import Path

from benchmarks.agencies import write_agencies
from quant_llm.agency import check_together, load_agency, locked
from quant_llm.catalogue import place

COUNT = 60


def test_files_are_right_alone_and_together_and_their_models_fit(tmp_path: Path) -> None:
    paths = write_agencies(tmp_path, COUNT)
    assert paths == sorted(tmp_path.glob("*.yaml"))
    agencies = [load_agency(path) for path in paths]
    assert check_together(agencies) == []
    for agency, path in zip(agencies, paths, strict=True):
        place(agency, locked(agency, path))
    models = [model for agency in agencies for model in agency.models]
    assert {len(agency.models) for agency in agencies} == {1, 2, 3}
    assert {model.engine for model in models} == {"llama.cpp", "exllamav2"}
    assert {model.artifact for model in models} == {"model.tar.gz", "s3-prefix"}
    assert {agency.network is None for agency in agencies} == {True, False}
    digests = {
        lock.digest
        for agency, path in zip(agencies, paths, strict=True)
        for lock in locked(agency, path).values()
    }
    assert len(digests) == len(models)


def test_a_file_is_the_same_whatever_the_count_is_and_another_with_another_seed(tmp_path: Path) -> None:
    def texts(name: str, count: int, seed: int = 0) -> list[str]:
        paths = write_agencies(tmp_path / name, count, seed=seed)
        return [path.read_text() + path.with_suffix(".lock.json").read_text() for path in paths]

    assert texts("three", 3) == texts("five", 5)[:3]
    assert texts("seed", 3, seed=1) != texts("again", 3)
