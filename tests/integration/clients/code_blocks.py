"""The Python code of a Markdown page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block and the heading that it stands under."""

    heading: str
    code: str

    @property
    def name(self) -> str:
        """The heading, in the form of a link to it."""
        return re.sub(r"[^\w-]", "", self.heading.lower().replace(" ", "-"))


def python_blocks(page: Path) -> list[CodeBlock]:
    """Every ```python block of a page, in order."""
    blocks: list[CodeBlock] = []
    heading = ""
    code: list[str] | None = None
    for line in page.read_text(encoding="utf-8").splitlines():
        if code is not None:
            if line == "```":
                blocks.append(CodeBlock(heading, "\n".join(code)))
                code = None
            else:
                code.append(line)
        elif line == "```python":
            code = []
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()
    return blocks
