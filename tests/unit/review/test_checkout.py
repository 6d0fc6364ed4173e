from pathlib import Path

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools.review.checkout import repository_root


def test_a_machine_without_git_is_told_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QuantLlmError, match="git is not installed"):
        repository_root(tmp_path)


def test_a_folder_that_is_gone_is_taken_for_a_missing_git(tmp_path: Path) -> None:
    with pytest.raises(QuantLlmError, match=r"git can't be run in .*/gone: No such file or directory"):
        repository_root(tmp_path / "gone")
