"""The fenced blocks of the documents, with the words in front of them that say how to run each.

A block follows its marker, an HTML comment that readers do not see:

    <!-- file: hello.py -->   the block is a file, there for every later block of the document
    <!-- prints -->           what the python block before it prints
    <!-- empty cache -->      the block's commands get a cache folder of their own
    <!-- not run: why -->     the block is shown only

Every other python, console and sh block is run as it stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"python", "console", "sh", "text", "json", "toml"}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARKER = re.compile(r"<!-- *([a-z ]+?)(?:: *(.*?))? *-->\s*$")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    document: str
    line: int
    language: str
    text: str
    marker: str = ""
    value: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """The files that stand before it in its document, by name."""

    prints: str | None = None
    """What the document says that a python block prints."""

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    """The blocks of one document, in order."""
    text = path.read_text("utf-8")
    found: list[Block] = []
    files: dict[str, str] = {}
    for fence in _FENCE.finditer(text):
        before = _MARKER.search(text, 0, fence.start()) if text[: fence.start()].rstrip().endswith("-->") else None
        marker, value = (before[1], before[2] or "") if before else ("", "")
        block = Block(
            path.relative_to(ROOT).as_posix(),
            text.count("\n", 0, fence.start()) + 1,
            fence[1],
            fence[2],
            marker,
            value,
            dict(files),
        )
        if marker == "file":
            files[value] = fence[2]
        if marker == "prints":
            last = found.pop()
            block = Block(**{**vars(last), "prints": fence[2]})
        found.append(block)
    return found


ALL = [block for document in DOCUMENTS for block in blocks_of(document)]
