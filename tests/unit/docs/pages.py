"""The texts of the documentation, and the blocks of code in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

__all__ = [
    "BLOCKS",
    "DOCS",
    "PAGES",
    "REFERENCE",
    "ROOT",
    "TEXTS",
    "Block",
    "blocks",
    "each_text",
    "of",
    "told",
]

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *PAGES]
REFERENCE = DOCS / "reference"

each_text = pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))


class Block(NamedTuple):
    """A block of code in a text."""

    path: Path
    line: int
    language: str
    title: str
    code: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    inside: list[str] | None = None
    language, title, begun = "", "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fence = re.fullmatch(r"```(\w*)(?: title=\"([^\"]*)\")?", line)
        if inside is None:
            assert fence or "```" not in line, f"{path}:{number}: a fence that is none"
            if fence:
                inside, language, title, begun = [], fence[1], fence[2] or "", number
        elif line == "```":
            yield Block(path, begun, language, title, "\n".join(inside) + "\n")
            inside = None
        else:
            inside.append(line)
    assert inside is None, f"{path}:{begun}: never closed"


BLOCKS = [block for path in TEXTS for block in blocks(path)]


def of(*languages: str) -> Any:
    found = [block for block in BLOCKS if block.language in languages]
    assert found
    return pytest.mark.parametrize("block", found, ids=str)


def told(path: Path) -> set[str]:
    """Give what stands in backticks in the first columns of a page's tables."""
    text = path.read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))
