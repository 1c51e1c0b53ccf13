"""The script of a page: written into it, and the only one that its policy lets run."""

import base64
import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

_PARTS = ("charts.js", "samples.js", "live.js")


class Script(NamedTuple):
    """A script, and its hash as a policy names it."""

    text: str
    sha256: str


@functools.cache
def page_script() -> Script:
    """Reads the script of pages about runs."""
    folder = Path(__file__).parent / "js"
    text = "\n" + "".join((folder / name).read_text(encoding="utf-8") for name in _PARTS)
    return Script(text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())
