"""What can be said of pairs of any kind before they are tokenised."""

from collections.abc import Sequence
from typing import TypeVar

from align.checks.finding import Finding
from align.data.pairs.pair import Pair
from align.data.problems import shorten

AUDITED = 1_000  # pairs that are tokenised: these many of the first, and of the longest
LONGER = 1.2  # mean length of chosen over rejected responses from which length is a shortcut

AnyPair = TypeVar("AnyPair", bound=Pair)


def check_form(pairs: Sequence[Pair]) -> list[Finding]:
    """Finds texts among messages."""
    if len({isinstance(pair.prompt, str) for pair in pairs}) <= 1:
        return []
    text = "Some pairs are texts and others are messages; TRL looks at the first only. Write all of them one way."
    return [Finding("error", "data", text)]


def check_implicit(pairs: Sequence[Pair]) -> list[Finding]:
    """Says of how many pairs the prompt is what two texts begin with, and shows the shortest: it may be no prompt."""
    implicit = [pair for pair in pairs if pair.is_implicit]
    if not implicit:
        return []
    shortest = min(implicit, key=lambda pair: len(pair.prompt))
    shown = shorten(shortest.prompt)
    mixed = (
        f" The other {len(pairs) - len(implicit)} have a prompt of their own." if len(implicit) < len(pairs) else ""
    )
    text = (
        f"{len(implicit)} of {len(pairs)} pairs have no `prompt`: it is what both texts begin with, as in TRL. The "
        f"shortest is {shown}, of row {shortest.row}.{mixed}"
    )
    return [Finding("warning" if mixed else "ok", "data", text, {"implicit_prompts": len(implicit)})]


def audited(pairs: Sequence[AnyPair]) -> list[AnyPair]:
    """Picks the pairs that are tokenised: the first and the longest, in their order."""
    longest = sorted(range(len(pairs)), key=lambda i: -len(str(pairs[i].prompt)) - _length(pairs[i]))
    return [pairs[i] for i in sorted({*range(min(AUDITED, len(pairs))), *longest[:AUDITED]})]


def length_ratio(pairs: Sequence[Pair]) -> float:
    """Divides the mean length of chosen responses by that of rejected ones."""
    return sum(len(pair.chosen) for pair in pairs) / sum(len(pair.rejected) for pair in pairs)


def _length(pair: Pair) -> int:
    return max(len(pair.chosen), len(pair.rejected))
