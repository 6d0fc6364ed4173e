"""One CUDA folder out of what a machine has: `python3 -m benchmarks.gpu.cuda_home <folder>`.

A machine may have the compiler in one place and the libraries in another, as PyPI's wheels do, which also
leave out the names without a version that linkers look for. CMake and PyTorch want one folder: this writes
one of links.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

_LIBRARIES = ("lib64", "lib", "targets/x86_64-linux/lib")
_HEADERS = ("include", "targets/x86_64-linux/include")


def link(target: Path) -> None:
    """Write to `target` a folder with `bin`, `include`, `lib64` and `nvvm` of all toolkits that are found.

    Of two files of one name, the one of the toolkit that has the compiler is taken.
    """
    toolkits = list(_toolkits())
    if not toolkits:
        raise FileNotFoundError("no nvcc on PATH, in CUDA_HOME or in /usr/local/cuda")
    shutil.rmtree(target, ignore_errors=True)
    for name in ("bin", "include", "lib64"):  # no links themselves: nvcc looks for `bin/../lib64`
        (target / name).mkdir(parents=True)
    (target / "nvvm").symlink_to(toolkits[0] / "nvvm")
    for file in _files(toolkits[0] / "bin"):
        _link(target / "bin" / file.name, file)
    for toolkit in toolkits:
        for folder in _HEADERS:
            for file in _files(toolkit / folder):
                _link(target / "include" / file.name, file)
        for folder in _LIBRARIES:
            for file in _files(toolkit / folder):
                _link(target / "lib64" / file.name, file)
                if ".so." in file.name:
                    _link(target / "lib64" / f"{file.name.partition('.so.')[0]}.so", file)


def _toolkits() -> Iterator[Path]:
    """The toolkit with the compiler, then whatever PyPI's wheels have installed."""
    nvcc = shutil.which("nvcc")
    found = [Path(os.environ["CUDA_HOME"])] if "CUDA_HOME" in os.environ else []
    found += [Path(nvcc).resolve().parents[1]] if nvcc else []
    found += [Path("/usr/local/cuda")]
    compilers = [toolkit for toolkit in found if (toolkit / "bin" / "nvcc").exists()]
    yield from compilers[:1]
    nvidia = find_spec("nvidia")
    for root in nvidia.submodule_search_locations or () if nvidia else ():
        yield from (path for path in sorted(Path(root).iterdir()) if (path / "lib").is_dir())


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _link(link: Path, file: Path) -> None:
    if not link.exists():
        link.symlink_to(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    link(parser.parse_args().folder.resolve())
