"""The source of llama.cpp that is compiled is the pinned one, whatever tag or folder it came from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.container.process import ROOT

SCRIPT = ROOT / "container" / "llamacpp" / "take_source.sh"
FILES = {
    "CMakeLists.txt": "project(llama.cpp)",
    "LICENSE": "MIT",
    "cmake/common.cmake": "",
    "common/chat.cpp": "int chat;",
    "ggml/src/ggml.c": "int ggml;",
    "ggml/src/ggml-metal/ggml-metal-device.m": "metal",
    "include/llama.h": "int llama;",
    "licenses/LICENSE-jsonhpp": "MIT",
    "scripts/ui-assets.cmake": "",
    "scripts/other.sh": "",
    "src/llama.cpp": "int llama;",
    "tools/CMakeLists.txt": "",
    "tools/server/a name with spaces.cpp": "",
    "tools/ui/CMakeLists.txt": "",
    "tools/ui/src/page.svelte": "<p>",
    "vendor/sheredom/subprocess.h": "int subprocess;",
}
NOT_TAKEN = {
    "ggml/src/ggml-metal/ggml-metal-device.m",
    "scripts/other.sh",
    "tools/ui/src/page.svelte",
    "vendor/sheredom/subprocess.h",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "source" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "source"


def take(source: Path, sha256: str) -> subprocess.CompletedProcess[str]:
    arguments = ["sh", str(SCRIPT), str(source), str(source.with_name("taken")), sha256]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=30)


def hash_of(source: Path) -> str:
    """The hash, from the message that refuses another one."""
    refused = take(source, "0" * 64)
    found = re.search(r"its hash is ([0-9a-f]{64}), expected 0{64}$", refused.stderr)
    assert refused.returncode == 1
    assert found, refused.stderr
    return found[1]


def test_what_the_build_reads_is_taken_and_nothing_else(source: Path) -> None:
    finished = take(source, hash_of(source))
    assert finished.returncode == 0, finished.stderr
    taken = source.with_name("taken")
    files = {
        path.relative_to(taken).as_posix(): path.read_text() for path in taken.rglob("*") if path.is_file()
    }
    assert files == {name: text for name, text in FILES.items() if name not in NOT_TAKEN}


@pytest.mark.parametrize("name", sorted(set(FILES) - NOT_TAKEN))
def test_a_changed_file_is_refused_and_nothing_is_taken(source: Path, name: str) -> None:
    expected = hash_of(source)
    (source / name).write_text("changed")
    assert take(source, expected).returncode == 1
    assert not source.with_name("taken").exists()


def test_a_file_that_is_added_renamed_or_gone_is_refused(source: Path) -> None:
    expected = hash_of(source)
    file = source / "common" / "chat.cpp"
    file.rename(source / "common" / "other.cpp")
    assert take(source, expected).returncode == 1
    (source / "common" / "other.cpp").unlink()
    assert take(source, expected).returncode == 1
    file.write_text(FILES["common/chat.cpp"])
    assert take(source, expected).returncode == 0
    (source / "src" / "more.cpp").write_text("")
    assert take(source, expected).returncode == 1


def test_modes_and_links_that_a_transport_loses_do_not_matter(source: Path) -> None:
    expected = hash_of(source)
    file = source / "src" / "llama.cpp"
    file.chmod(0o755)
    file.rename(source / "scripts" / "llama.cpp")
    file.symlink_to("../scripts/llama.cpp")
    assert take(source, expected).returncode == 0


@pytest.mark.parametrize("name", sorted(NOT_TAKEN))
def test_what_is_not_compiled_is_not_covered(source: Path, name: str) -> None:
    expected = hash_of(source)
    (source / name).write_text("changed")
    assert take(source, expected).returncode == 0
