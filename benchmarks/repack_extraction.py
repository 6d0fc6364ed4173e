"""How fast readers of tar.gz unpack our archive, each against an uncompressed tar of the same file."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from quant_llm_repack.plan import ArchivePlan
from quant_llm_repack.render import render
from quant_llm_repack.request import SourceFile
from quant_llm_tools.local_aws.hub.content import GeneratedContent

_MEGABYTE = 1_000_000
_TARFILE = "import sys, tarfile; tarfile.open(*sys.argv[1:3]).extractall(sys.argv[3], filter='data')"


@dataclass(frozen=True)
class Reader:
    """Commands that unpack an archive to a folder: `compressed` ours, `plain` the uncompressed tar.

    They need `programs`. `{archive}` and `{folder}` stand for the paths.
    """

    compressed: str
    plain: str
    programs: tuple[str, ...]

    @property
    def missing(self) -> str | None:
        """A program that is not installed, if any is."""
        return next((program for program in self.programs if not shutil.which(program)), None)


GNU_TAR = Reader("tar -xzf {archive} -C {folder}", "tar -xf {archive} -C {folder}", ("tar", "gzip"))
READERS = {
    "GNU tar, by gzip": GNU_TAR,
    "gzip -t, no tar": Reader("gzip -t {archive}", GNU_TAR.plain, ("tar", "gzip")),
    "GNU tar, by pigz": Reader("tar -I pigz -xf {archive} -C {folder}", GNU_TAR.plain, ("tar", "pigz")),
    "bsdtar": Reader("bsdtar -xzf {archive} -C {folder}", "bsdtar -xf {archive} -C {folder}", ("bsdtar",)),
    "busybox tar": Reader(
        "busybox tar -xzf {archive} -C {folder}", "busybox tar -xf {archive} -C {folder}", ("busybox",)
    ),
    "Python tarfile": Reader("python {archive} r:gz {folder}", "python {archive} r: {folder}", ()),
}


@dataclass(frozen=True)
class Extraction:
    """MB/s of model that a reader takes from our archive and from the plain tar, medians of the runs."""

    reader: str
    ours: float
    plain: float

    @property
    def ratio(self) -> float:
        """Ours to the plain tar's."""
        return self.ours / self.plain


class _Generated:
    def __init__(self, content: GeneratedContent) -> None:
        self._content = content

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        return map(bytes, self._content.chunks(start, stop))


def measure_extraction(size: int, runs: int) -> list[Extraction]:
    """Unpack a model of `size` bytes, `runs` times by each reader that is installed, in turn with its tar."""
    with tempfile.TemporaryDirectory(prefix="quantllm-benchmark-") as directory:
        folder = Path(directory)
        ours, plain = folder / "ours.tar.gz", folder / "plain.tar"
        _write_archive(ours, GeneratedContent(bytes, size, seed=1))
        with gzip.open(ours) as tar, plain.open("wb") as file:
            shutil.copyfileobj(tar, file, 1 << 20)
        found = []
        for name, reader in READERS.items():
            if reader.missing is None:
                pairs = [
                    (_seconds(reader.compressed, ours), _seconds(reader.plain, plain)) for _ in range(runs)
                ]
                rates = (size / _MEGABYTE / median(seconds) for seconds in zip(*pairs, strict=True))
                found.append(Extraction(name, *rates))
        return found


def _write_archive(path: Path, content: GeneratedContent) -> None:
    model = SourceFile(path="model.gguf", size=content.size, sha256="0" * 64)  # which nobody checks here
    source, crc32 = _Generated(content), 0
    with path.open("wb") as archive:
        for part in ArchivePlan([model]).parts():
            rendered = render(part, source, crc32_before=crc32)
            archive.write(rendered.body.getbuffer())
            crc32 = rendered.tar_crc32


def _seconds(command: str, archive: Path) -> float:
    """How long the command takes, to an empty folder."""
    words = [sys.executable, "-c", _TARFILE] if command.startswith("python ") else command.split()[:1]
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        words += [word.format(archive=archive, folder=folder) for word in command.split()[1:]]
        began = time.perf_counter()
        subprocess.run(words, check=True)  # noqa: S603 - of the table above
        return time.perf_counter() - began
