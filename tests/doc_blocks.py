"""The commands and code blocks of README and documents."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/tutorial.md", *sorted(
    str(p.relative_to(REPO)) for p in (REPO / "docs/howto").glob("*.md")
))  # fmt: skip
_BLOCK = re.compile(
    r"(?P<note><!-- not executed:[^\n]*-->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.S
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its text, whether it can be executed."""

    page: str
    kind: str
    text: str
    executed: bool


def blocks(*kinds: str) -> list[Block]:
    """Return the blocks of some languages of all pages."""
    found: list[Block] = []
    for page in PAGES:
        text = (REPO / page).read_text(encoding="utf-8")
        found += [
            Block(page, match["kind"], match["text"], match["note"] is None)
            for match in _BLOCK.finditer(text)
            if match["kind"] in kinds
        ]
    return found


def commands() -> list[tuple[Block, list[str]]]:
    """Return every command line, without comments, as words."""
    found = []
    for block in blocks("sh"):
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                found.append((block, words))
    return found
