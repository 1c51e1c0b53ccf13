"""How much of preference pairs is marked, and a few of them to look at."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

from align.checks.finding import Finding
from align.data.pairs.preferences import PreferencePair, pair_to_row
from align.data.pairs.spans import Span
from align.data.stored_items import values_of
from align.methods.pairs.tokens import Spans, Tokenised, tokenize_here, usable_pairs
from align.recipe.recipe import Recipe

MEASURED = 1_000  # tokenised pairs, the first ones, from which shares are taken
SAMPLES = 4

T = TypeVar("T")


def check_spans(recipe: Recipe, pairs: Sequence[PreferencePair], tokens: Tokenised) -> list[Finding]:
    """Measures what share of responses is marked, in tokens or, without any, characters; picks pairs to show."""
    marked = [(pair, token) for pair, token in tokens if any(token.marks.chosen) or any(token.marks.rejected)]
    shown = [(pair, token.chosen_spans, token.rejected_spans) for pair, token in marked]
    if marked:
        unit, first = "tokens", [token.marks for _, token in marked[:MEASURED]]
        chosen, rejected = _share([m.chosen for m in first]), _share([m.rejected for m in first])
    else:
        unit, shown = "characters", [(pair, *_marked_characters(recipe, pair)) for pair in spread(pairs, SAMPLES)]
        begin = [(pair, *_marked_characters(recipe, pair)) for pair in pairs[:MEASURED]]
        chosen = _share([_marks(pair.chosen, spans) for pair, spans, _ in begin])
        rejected = _share([_marks(pair.rejected, spans) for pair, _, spans in begin])
    differing = recipe.settings.spans == "differing"
    sources = dict(Counter(source for (source,) in values_of(pairs, "spans_from"))) if differing else {}
    words = ", ".join(f"{count} from {source}" for source, count in sources.items()) or "the whole responses"
    text = f"Spans: {words}. Marked: {chosen:.0%} of the chosen and {rejected:.0%} of the rejected {unit}."
    numbers = {
        "spans_from": sources, "unit": unit, "marked_share_chosen": chosen, "marked_share_rejected": rejected,
        "samples": [_sample(*pair) for pair in spread(shown, SAMPLES)],
    }  # fmt: skip
    return [Finding("ok", "spans", text, numbers)]


def marked_rows(recipe: Recipe, pairs: Sequence[PreferencePair], limit: int = 40) -> list[dict[str, Any]]:
    """Makes rows of an even sample of pairs, with the spans that training marks and their share of the tokens."""
    sample = spread(usable_pairs(recipe, pairs), limit)
    tokens, _ = tokenize_here(recipe, sample)
    if not tokens:
        return [_sample(pair, *_marked_characters(recipe, pair)) for pair in sample]
    return [
        _sample(pair, token.chosen_spans, token.rejected_spans)
        | {"marked_share": _share([token.marks.chosen, token.marks.rejected])}
        for pair, token in tokens
    ]


def _marked_characters(recipe: Recipe, pair: PreferencePair) -> tuple[Spans, Spans]:
    """Returns what is marked, as far as it can be said without a tokenizer."""
    if recipe.settings.spans == "differing" and pair.has_spans:
        return pair.chosen_spans, pair.rejected_spans
    return (Span(0, len(pair.chosen)),), (Span(0, len(pair.rejected)),)


def _marks(text: str, spans: Spans) -> list[int]:
    marks = [0] * len(text)
    for start, end in spans:
        marks[start:end] = [1] * (end - start)
    return marks


def _share(marks: Sequence[Sequence[int]]) -> float:
    return sum(map(sum, marks)) / max(1, sum(map(len, marks)))


def spread(items: Sequence[T], count: int) -> list[T]:
    """Picks items at even distances, the first one included."""
    return list(items) if len(items) <= count else [items[i * len(items) // count] for i in range(count)]


def _sample(pair: PreferencePair, chosen_spans: Spans, rejected_spans: Spans) -> dict[str, Any]:
    """Makes a row in which the responses are texts and the spans those that are marked."""
    spans = {"chosen_spans": chosen_spans, "rejected_spans": rejected_spans}
    texts = {"row": pair.row, "chosen": pair.chosen, "rejected": pair.rejected}
    return pair_to_row(pair) | texts | {name: [list(span) for span in found] for name, found in spans.items()}
