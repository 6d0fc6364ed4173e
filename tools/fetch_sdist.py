"""Downloads the source distribution that a requirements file pins, and nothing else of it is run.

    python fetch_sdist.py REQUIREMENTS FOLDER

`pip download` does the same, but runs the package's build for its metadata: with a package that compiles in
`setup.py` this takes minutes. The file has one requirement, `name==version --hash=sha256:…`. The index is
pip's: PIP_INDEX_URL, its configuration, or PyPI. Prints the file's path.

The index's API: https://packaging.python.org/en/latest/specifications/simple-repository-api/
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

PYPI = "https://pypi.org/simple"

_REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+) .*--hash=sha256:(?P<sha256>[0-9a-f]{64})$")
_JSON = "application/vnd.pypi.simple.v1+json"
_TIMEOUT = 120
_BLOCK_BYTES = 1 << 20


def pinned(requirements: str) -> tuple[str, str, str]:
    """Name, version and sha256 of the one requirement in the text. Raises ValueError for anything else."""
    text = requirements.replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [
        match.group("name", "version", "sha256") for line in lines if (match := _REQUIREMENT.match(line))
    ]
    if len(lines) != 1 or len(found) != 1:
        raise ValueError(f"expected one line `name==version --hash=sha256:…`, got {lines}")
    name, version, sha256 = found[0]
    return name, version, sha256


def fetch(requirements: Path, folder: Path, index: str) -> Path:
    """The source distribution in `folder`, which is made. Raises ValueError if its hash is another one."""
    name, version, sha256 = pinned(requirements.read_text(encoding="utf-8"))
    page = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', name).lower()}/"
    stem = re.sub(r"[-_.]+", "[-_.]+", name)
    wanted = re.compile(rf"{stem}-{re.escape(version)}\.tar\.gz", re.IGNORECASE)
    request = urllib.request.Request(page, headers={"Accept": f"{_JSON}, text/html;q=0.1"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - the index that pip uses
        body, kind, base = answer.read().decode(), answer.headers.get_content_type(), answer.url
    links = [file["url"] for file in json.loads(body)["files"]] if kind == _JSON else _links(body)
    urls = [urllib.parse.urljoin(base, link) for link in links]
    names = {Path(urllib.parse.urlsplit(url).path).name: url for url in urls}
    matching = [file for file in names if wanted.fullmatch(urllib.parse.unquote(file))]
    if not matching:
        raise ValueError(f"{page} has no source distribution of {name} {version}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / matching[0]
    partial = path.with_suffix(".part")
    content = hashlib.sha256()
    with (
        urllib.request.urlopen(names[matching[0]], timeout=_TIMEOUT) as answer,  # noqa: S310
        partial.open("wb") as file,
    ):
        while block := answer.read(_BLOCK_BYTES):
            content.update(block)
            file.write(block)
    if content.hexdigest() != sha256:
        partial.unlink()
        raise ValueError(f"{names[matching[0]]}: expected sha256 {sha256}, got {content.hexdigest()}")
    return partial.rename(path)


def _links(page: str) -> list[str]:
    """The links of an index that answers in HTML alone."""
    return [html.unescape(link) for link in re.findall(r'<a [^>]*href="([^"#]+)', page)]


def _index() -> str:
    """The index of pip's configuration, PIP_INDEX_URL included."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    found = dict(re.findall(r"^([\w.:-]+)='(.*)'$", listed, re.MULTILINE))
    keys = (":env:.index-url", "install.index-url", "global.index-url")
    return next((found[key] for key in keys if key in found), PYPI)


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1]), Path(sys.argv[2]), _index()))
