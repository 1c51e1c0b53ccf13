"""What `max_length` cuts off preference pairs: TRL cuts without a word, and drops pairs of which nothing is left."""

from collections.abc import Sequence
from typing import NamedTuple

from align.checks.counts import name_rows
from align.checks.finding import Finding, Level
from align.checks.lengths import check_positions, context_window
from align.data.pairs.preferences import PreferencePair
from align.methods.pairs.tokens import TokenPair
from align.recipe.recipe import Recipe


class Cut(NamedTuple):
    """A way in which a pair can be too long."""

    is_fatal: bool  # nothing is left to learn from
    words: str


GONE = Cut(True, "are cut off whole, because the prompt alone fills `max_length`, and TRL drops them")
UNMARKED = Cut(True, "have all their marked tokens cut off, so that no preference is left to learn")
UNMARKED_KEPT = Cut(False, "have all their marked tokens cut off, and are kept as plain DPO")
PARTLY_MARKED = Cut(False, "have some of their marked tokens cut off")
SHORTENED = Cut(False, "have an end without marks cut off")


def check_max_length(recipe: Recipe, pairs: Sequence[PreferencePair], tokens: Sequence[TokenPair]) -> list[Finding]:
    """Compares pairs with the model's window and with `max_length`, which cuts them."""
    lengths = [token.prompt + max(len(token.marks.chosen), len(token.marks.rejected)) for token in tokens]
    return check_window(recipe, lengths) + _check_cuts(recipe, pairs, tokens)


def check_window(recipe: Recipe, lengths: Sequence[int]) -> list[Finding]:
    """Says how long pairs are where they fit, and whether they fit the model's window where `max_length` lets them."""
    window, limit = context_window(recipe), recipe.settings.max_length
    longest, mean = max(lengths), sum(lengths) / len(lengths)
    used = longest if limit is None else min(longest, limit)
    moved = check_positions(recipe, [length if limit is None else min(length, limit) for length in lengths])
    if window is not None and used > window:
        text = (
            f"Pairs take up to {used} tokens and the model's window is {window}. Set `max_length: {window}` or less."
        )
        return [Finding("error", "lengths", text, {"max": longest, "window": window}), *moved]
    if used < longest:
        return moved
    most = "" if limit is None else f", of `max_length` = {limit}"
    text = f"A prompt with its longer response takes {mean:.0f} tokens on average and {longest} at most{most}."
    return [Finding("ok", "lengths", text, {"audited": len(lengths), "mean": mean, "max": longest}), *moved]


def level_of_loss(recipe: Recipe) -> Level:
    """Returns how bad it is that pairs are lost: they are rows that cannot be used."""
    return "error" if recipe.dataset.on_bad_rows == "raise" else "warning"


def raise_limit(recipe: Recipe, level: Level, *, has_images: bool = False) -> str:
    """Words the remedy for pairs that are too long; what stops a run can be accepted."""
    accept = ", or accept this with `dataset.on_bad_rows: skip`" if level == "error" else ""
    shorten = "Lower `dataset.max_pixels` or `dataset.num_frames`," if has_images else "Shorten them"
    return f"{shorten} or raise `max_length` from {recipe.settings.max_length}{accept}."


def _check_cuts(recipe: Recipe, pairs: Sequence[PreferencePair], tokens: Sequence[TokenPair]) -> list[Finding]:
    limit = recipe.settings.max_length
    if limit is None:
        return []
    from_start = recipe.settings.truncation_mode == "keep_start"
    found: dict[Cut, list[PreferencePair]] = {
        cut: [] for cut in (GONE, UNMARKED, UNMARKED_KEPT, PARTLY_MARKED, SHORTENED)
    }
    for pair, token in zip(pairs, tokens, strict=True):
        cut = _find_cut(token, limit, from_start)
        if cut is not None:
            found[cut].append(pair)
    findings = []
    for cut, those in found.items():
        if not those:
            continue
        level = level_of_loss(recipe) if cut.is_fatal else "warning"
        remedy = raise_limit(recipe, level, has_images=any(pair.images for pair in those))
        text = f"{len(those)} of {len(pairs)} pairs {cut.words}: {name_rows(those)}. {remedy}"
        findings.append(Finding(level, "lengths", text, {"rows": [pair.row for pair in those]}))
    return findings


def _find_cut(token: TokenPair, limit: int, from_start: bool) -> Cut | None:
    """Compares the marks of both responses with those that TRL's collator keeps."""
    room = max(0, limit - token.prompt)
    whole = (token.marks.chosen, token.marks.rejected)
    kept = [marks[:room] if from_start else marks[-limit:] for marks in whole]
    before, after = (sum(map(sum, sides)) for sides in (whole, kept))
    if not all(kept):
        return GONE
    if token.marks.lost == "cut":
        return UNMARKED_KEPT if token.marks.is_read else UNMARKED
    if after < before:
        return PARTLY_MARKED
    return SHORTENED if sum(map(len, kept)) < sum(map(len, whole)) else None
