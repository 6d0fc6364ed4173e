"""How fast GNU tar unpacks our archive, against an uncompressed tar of the same file."""

from __future__ import annotations

import hashlib
import subprocess
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


@dataclass(frozen=True)
class Extraction:
    """MB/s of `tar xzf` on our archive and of `tar xf` on a plain one, medians of the runs."""

    ours: float
    tar: float

    @property
    def ratio(self) -> float:
        """Ours to the plain tar's."""
        return self.ours / self.tar


class _Generated:
    def __init__(self, content: GeneratedContent) -> None:
        self._content = content

    def read(self, file: SourceFile, start: int, stop: int) -> Iterator[bytes]:
        return map(bytes, self._content.chunks(start, stop))


def measure_extraction(size: int, runs: int) -> Extraction:
    """Unpack a model of `size` bytes both ways in turn, `runs` times each, to the temporary folder."""
    content = GeneratedContent(bytes, size, seed=1)
    with tempfile.TemporaryDirectory(prefix="quantllm-benchmark-") as directory:
        folder = Path(directory)
        model, ours, plain = folder / "model.gguf", folder / "ours.tar.gz", folder / "plain.tar"
        with model.open("wb") as file:
            for chunk in content.chunks(0, size):
                file.write(chunk)
        with model.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        source = SourceFile(path=model.name, size=size, sha256=sha256)
        _write_archive(ours, source, content)
        _tar("cf", plain, "-C", folder, model.name)
        model.unlink()
        seconds: dict[Path, list[float]] = {ours: [], plain: []}
        for _ in range(runs):
            for archive, its in seconds.items():
                began = time.perf_counter()
                _tar("xzf" if archive is ours else "xf", archive, "-C", folder)
                its.append(time.perf_counter() - began)
                model.unlink()
    return Extraction(*(size / _MEGABYTE / median(seconds[archive]) for archive in (ours, plain)))


def _write_archive(path: Path, file: SourceFile, content: GeneratedContent) -> None:
    source, crc32 = _Generated(content), 0
    with path.open("wb") as archive:
        for part in ArchivePlan([file]).parts():
            rendered = render(part, source, crc32_before=crc32)
            archive.write(rendered.body.getbuffer())
            crc32 = rendered.tar_crc32


def _tar(*arguments: str | Path) -> None:
    subprocess.run(["tar", *arguments], check=True)  # noqa: S603, S607 - GNU tar, wherever it is
