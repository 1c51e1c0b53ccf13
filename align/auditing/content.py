"""Names rows after their content, so that millions of them are compared as numbers."""

from hashlib import blake2b
from typing import NamedTuple

from align.auditing.entry import Entry
from align.data.texts import as_seen


class Content(NamedTuple):
    """Digests of a row's parts, of 64 bits: two of a million different texts share one with a chance of 3e-8.

    Attributes:
        key: Everything but the gold: images, prompt and sides, whatever order the sides stand in.
        gold: The content of what is right, so that letters and places do not count.
        prompt: Images and prompt.
    """

    key: int
    gold: int
    prompt: int


def content_of(entry: Entry, kind: str) -> Content:
    """Computes the digests of a row; whitespace, and how accents are written, do not count.

    Example:
        >>> first = Entry("a", "f", 1, "Which rusts?", ("iron", "gold"), 0)
        >>> content_of(first, "questions") == content_of(first._replace(sides=("gold", "iron"), gold=1), "questions")
        True
    """
    asked = [*entry.images, _plain(entry.prompt)]
    sides = [_plain(side) for side in entry.sides]
    prompt = digest("prompt", *asked)
    if kind in ("pairs", "questions"):
        gold = "tie" if entry.gold is None else f"side {sides[entry.gold]}"
        return Content(digest("row", *asked, *sorted(sides)), digest(gold), prompt)
    if kind == "outcomes":
        return Content(digest("row", *asked, *sides), digest(repr((entry.outcome, *entry.confounders))), prompt)
    if kind == "sft":
        if entry.label is None:
            return Content(prompt, digest(*sides), prompt)
        return Content(digest("row", *asked, *sides), digest(_plain(entry.label)), prompt)
    return Content(prompt, digest("none" if entry.label is None else f"is {_plain(entry.label)}"), prompt)


def digest(*texts: str) -> int:
    """Hashes texts, none of which holds a NUL, into a number of 64 bits."""
    hashed = blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(hashed, "little", signed=True)


def _plain(text: str) -> str:
    return " ".join(as_seen(text).split())
