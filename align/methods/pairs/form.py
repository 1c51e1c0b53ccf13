"""What can be said of pairs of any kind before they are tokenised, and what one step over them is."""

from collections.abc import Sequence
from heapq import nlargest
from typing import TypeVar

from align.checks.counts import check_rows
from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.memory import activations
from align.data.pairs.pair import Pair
from align.data.problems import shorten
from align.data.stored_items import values_of
from align.recipe.recipe import Recipe

AUDITED = 1_000  # pairs that are tokenised: these many of the first, and of the longest
LONGER = 1.2  # mean length of chosen over rejected responses from which length is a shortcut

AnyPair = TypeVar("AnyPair", bound=Pair)


def check_form(pairs: Sequence[Pair]) -> list[Finding]:
    """Finds texts among messages."""
    if len({isinstance(prompt, str) for (prompt,) in values_of(pairs, "prompt")}) <= 1:
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
    parts = values_of(pairs, "prompt", "chosen", "rejected")
    sizes = [len(str(prompt)) + max(len(chosen), len(rejected)) for prompt, chosen, rejected in parts]
    longest = nlargest(AUDITED, range(len(pairs)), key=sizes.__getitem__)
    return [pairs[i] for i in sorted({*range(min(AUDITED, len(pairs))), *longest})]


def length_ratio(pairs: Sequence[Pair]) -> float:
    """Divides the mean length of chosen responses by that of rejected ones."""
    chosen = rejected = 0
    for better, worse in values_of(pairs, "chosen", "rejected"):
        chosen, rejected = chosen + len(better), rejected + len(worse)
    return chosen / rejected


def check_batch(recipe: Recipe, launch: Launch, num_pairs: int) -> list[Finding]:
    """Says what one step over pairs is."""
    return check_rows(recipe, launch, num_pairs, "pairs", ", of two sequences each", 2)


def pair_activations(recipe: Recipe) -> str:
    """Names the activations of a pass over pairs."""
    return activations(recipe, 2, "sequences", " (both responses of a pair, with their prompts)")
