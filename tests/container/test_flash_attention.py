"""The cuts that make flash-attn small enough to compile with the image."""

from __future__ import annotations

import importlib.util
import json
import re
from types import ModuleType

import pytest

from tests.container.process import ROOT

FOLDER = ROOT / "container" / "exllamav2"

INTERFACE = """\
#include "flash.h"
std::vector<at::Tensor>
mha_fwd(int a) { return {}; }

void run_mha_bwd(int a) {
    run();
}

std::vector<at::Tensor>
mha_bwd(int a) { return {}; }

std::vector<at::Tensor>
mha_fwd_kvcache(int a) { return {}; }

    m.def("fwd", &mha_fwd);
    m.def("bwd", &mha_bwd);
    m.def("varlen_bwd", &mha_varlen_bwd);
    m.def("fwd_kvcache", &mha_fwd_kvcache);
"""


@pytest.fixture(scope="module")
def flash_attention() -> ModuleType:
    specification = importlib.util.spec_from_file_location("flash_attention", FOLDER / "flash_attention.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_training_is_cut_and_all_else_is_kept(flash_attention: ModuleType) -> None:
    shorter = flash_attention.without_backward(INTERFACE)
    assert "bwd" not in shorter
    assert [line for line in INTERFACE.splitlines() if "fwd" in line] == [
        line for line in shorter.splitlines() if "fwd" in line
    ]


@pytest.mark.parametrize("part", ["void run_mha_bwd(", 'm.def("bwd"', 'm.def("varlen_bwd"'])
def test_a_source_that_is_not_as_expected_fails_the_build(flash_attention: ModuleType, part: str) -> None:
    with pytest.raises(ValueError, match="not as expected"):
        flash_attention.without_backward(INTERFACE.replace(part, "changed("))


def test_each_head_size_runs_in_the_next_larger_kernel(flash_attention: ModuleType) -> None:
    text = flash_attention.only("#pragma once\n#define FP16_SWITCH(COND, ...) old\nold\n", (128, 64))
    assert text.startswith("#pragma once\n#define FP16_SWITCH(COND, ...) [&]")
    assert "old" not in text
    assert re.findall(r"HEADDIM <= (\d+)\) \{ constexpr static int kHeadDim = (\d+);", text) == [
        ("64", "64"),
        ("128", "128"),
    ]


def test_the_list_of_contents_names_the_version_that_is_compiled() -> None:
    pinned = re.search(r"^flash-attn==(\S+)", (FOLDER / "requirements-flash-attn.txt").read_text(), re.M)
    assert pinned is not None
    packages = json.loads((FOLDER / "components.json").read_text())["packages"]
    (described,) = [package for package in packages if package["name"] == "flash-attn"]
    assert described["versionInfo"] == pinned[1]
    assert described["externalRefs"][0]["referenceLocator"] == f"pkg:pypi/flash-attn@{pinned[1]}"
