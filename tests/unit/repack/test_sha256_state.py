"""The hash that goes on elsewhere, against hashlib."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_llm_repack import sha256_state


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sha256_state, "_candidates", lambda: iter(["/nowhere/libcrypto.so"]))
    sha256_state._library.cache_clear()
    yield
    sha256_state._library.cache_clear()


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_a_hash_handed_on_after_every_piece_is_that_of_the_whole(pieces: list[bytes]) -> None:
    hash_ = sha256_state.new_hash()
    for number, piece in enumerate(pieces):
        hash_.update(memoryview(bytearray(piece)) if number % 2 else piece)
        state = hash_.state()
        assert state is not None
        assert hash_.hexdigest() == hashlib.sha256(b"".join(pieces[: number + 1])).hexdigest()
        hash_ = sha256_state.resumed(state)
    assert hash_.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()


@pytest.mark.parametrize("state", ["", "00", "zz"])
def test_what_is_no_state_is_refused(state: str) -> None:
    with pytest.raises(ValueError, match=r"state|hexadecimal"):
        sha256_state.resumed(state)


@pytest.mark.usefixtures("no_library")
def test_without_openssl_hashlib_hashes_and_nothing_is_handed_on(capsys: pytest.CaptureFixture[str]) -> None:
    hash_ = sha256_state.new_hash()
    hash_.update(b"abc")
    assert (hash_.hexdigest(), hash_.state()) == (hashlib.sha256(b"abc").hexdigest(), None)
    assert not sha256_state.can_hand_on()
    assert capsys.readouterr().out.count("repack.no_hash_state") == 1
    with pytest.raises(ValueError, match="112 bytes"):
        sha256_state.resumed("00" * 112)


def test_a_library_with_other_results_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sha256_state._OpensslSha256, "hexdigest", lambda self: "0" * 64)
    sha256_state._library.cache_clear()
    try:
        assert not sha256_state.can_hand_on()
    finally:
        monkeypatch.undo()
        sha256_state._library.cache_clear()
    assert sha256_state.can_hand_on()


def test_importing_loads_no_library() -> None:
    program = "import sys, quant_llm_repack.sha256_state as s; sys.exit(s._library.cache_info().currsize)"
    root = Path(__file__).parents[3] / "lambdas"
    assert subprocess.run([sys.executable, "-c", program], cwd=root).returncode == 0
