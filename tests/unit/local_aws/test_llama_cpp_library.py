from pathlib import Path

import pytest

from quant_llm.errors import QuantLlmError
from quant_llm_tools.local_aws.llama_cpp_library import require_llama_cpp


def test_a_machine_without_openmp_is_not_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "xllamacpp.py").write_text(f"raise ImportError({missing!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(QuantLlmError, match=rf"{missing}; expected .*apt install libgomp1"):
        require_llama_cpp()


def test_a_machine_with_all_libraries_is_refused() -> None:
    require_llama_cpp()
