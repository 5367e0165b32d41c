"""What the pages of the documentation hold: fenced blocks, console commands, tables, links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *sorted(ROOT.glob("docs/**/*.md"))]
OWN_DATA = ROOT / "docs" / "own-data.md"
OWN_PAGES = [ROOT / "docs" / f"own-{what}.md" for what in ("network", "method", "data-reader")]

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[a-z: ]+) -->\n)?```(?P<language>\w*)(?: title=\"(?P<title>[^\"]*)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def page_name(page: Path) -> str:
    """A page as a test's id."""
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, title, the comment ``<!-- mark -->`` before it, and its text."""

    page: Path
    line: int
    language: str
    title: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{page_name(self.page)}:{self.line}"


def blocks(page: Path, language: str) -> list[Block]:
    """The fenced blocks of a page in one language."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        if match["language"] == language:
            line = text.count("\n", 0, match.start("text"))
            found.append(Block(page, line, language, match["title"] or "", match["mark"] or "", match["text"]))
    return found


def all_blocks(language: str) -> list[Block]:
    """The fenced blocks of all pages in one language."""
    return [block for page in PAGES for block in blocks(page, language)]


@dataclass(frozen=True)
class Command:
    """A line ``$ …`` of a console block and the output shown under it."""

    block: Block
    words: list[str]
    shown: list[str]

    def __str__(self) -> str:
        return f"{self.block} {' '.join(self.words[:4])}"


def commands(block: Block) -> list[Command]:
    """The commands of a console block."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            words = shlex.split(line[2:])
            found.append(Command(block, [words[0].removeprefix(".venv/bin/"), *words[1:]], []))
        else:
            assert found, f"{block}: a console block begins with a command, '$ …'"
            found[-1].shown.append(line)
    return found


def agrees(shown: list[str], printed: list[str]) -> bool:
    """Whether output is as shown; a line ``…`` stands for any lines, and ``…`` at the end of one for any rest of it."""
    if not shown:
        return not printed
    first, rest = shown[0], shown[1:]
    if first == "…":
        return any(agrees(rest, printed[skipped:]) for skipped in range(len(printed) + 1))
    if not printed:
        return False
    same = printed[0].startswith(first[:-1].rstrip()) if first.endswith("…") else printed[0].rstrip() == first
    return same and agrees(rest, printed[1:])


def tables(page: Path) -> list[list[list[str]]]:
    """The tables of a page, each a list of rows of cells; the first row is the heading."""
    found: list[list[list[str]]] = []
    before = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not before.startswith("|"):
                found.append([])
            if not set("".join(cells)) <= set("-: "):
                found[-1].append(cells)
        before = line
    return found


def code(cell: str) -> list[str]:
    """The words in backticks of a cell."""
    return re.findall(r"`([^`]+)`", cell)


def links(page: Path) -> list[str]:
    """The targets of a page's links, fenced blocks left out."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
