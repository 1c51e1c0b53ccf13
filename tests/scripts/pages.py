"""Reads pages of `docs/how-to` and the README: the files that they show, their commands and what is printed.

A block with a title is a file, and one that shows `bash` is commands, which are run. A block of `text`
is what the commands before it print. `<!-- not run: REASON -->` before a block leaves it to the checks
that need no machine.
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from started import ROOT

HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n+)?"
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """A fenced block of a page; `reason` says why it is not run, if it is not."""

    language: str
    title: str | None
    text: str
    reason: str | None

    @property
    def lines(self) -> list[str]:
        """Its commands, those over several lines as one."""
        lines = self.text.replace("\\\n", " ").splitlines() if self.language == "bash" else []
        return [line for line in lines if line.strip() and not line.startswith("#")]


def blocks(page: Path) -> list[Block]:
    """Lists the fenced blocks of a page."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["language"], each["title"], each["text"], each["reason"]) for each in found]


def align_words(line: str) -> list[str] | None:
    """Returns the words behind `align` of a command, also behind a launcher; None where it calls another program."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if words[:2] == ["accelerate", "launch"] and "align" in words:
        return words[words.index("align") + 1 :]
    return words[1:] if words and words[0] == "align" else None


def write_files(page: Path, folder: Path) -> None:
    """Writes the files that a page shows."""
    for block in blocks(page):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
