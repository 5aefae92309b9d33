"""The fenced blocks of the README and of docs/, and the commands in them."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.product import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)]
SHELL = ("", "sh", "console")
_FENCED = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: the page it stands on, its first line there, its language (empty: none) and what is in it."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[list[str]]:
        """Its lines as words, if it is of a shell; behind two spaces and # the documents say what a line is for."""
        if self.language not in SHELL:
            return []
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(re.split(r"  +(?![- ])", line)[0], comments=True))]


def blocks(*languages: str) -> list[Block]:
    """Those in one of the languages, all without one named."""
    return [block for path in DOCUMENTS for block in _blocks(path) if not languages or block.language in languages]


def _blocks(path: Path) -> Iterator[Block]:
    page = path.read_text(encoding="utf-8")
    name = str(path.relative_to(ROOT))
    for found in _FENCED.finditer(page):
        yield Block(name, page.count("\n", 0, found.start()) + 1, found[2].strip(), textwrap.dedent(found[3]))


def code_spans() -> list[tuple[str, str]]:
    """What stands between single backticks in the prose, with its page; each once a page."""
    found: dict[tuple[str, str], None] = {}
    for path in DOCUMENTS:
        prose = _FENCED.sub("", path.read_text(encoding="utf-8"))
        for code in re.findall(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)", prose):
            found[str(path.relative_to(ROOT)), " ".join(code.split())] = None
    return [span for span in found if span[1]]
