"""What is said of preference pairs before training: form, tokens, lengths that TRL cuts without a word, and marks."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest, nsmallest
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np

from align.checks.counts import check_rows, name_rows
from align.checks.finding import Finding, Level
from align.checks.launch import Launch
from align.checks.lengths import Encoded, check_window, level_of_loss, place_images, raise_limit, tokenize_rows
from align.checks.memory import activations
from align.data.pairs.marks import MarkRule, Marks, TokenizedResponse, decide_marks, tokenized_responses
from align.data.pairs.pair import Pair
from align.data.pairs.preferences import PreferencePair, pair_to_row
from align.data.pairs.spans import Span
from align.data.problems import shorten
from align.data.stored_items import Picked, map_parts, values_of
from align.data.template_settings import template_settings
from align.data.texts import count_shared
from align.evaluation.statistics.metrics import Estimate, student
from align.models.model_files import ModelFiles
from align.models.prompt_tokenizer import PromptTokenizer
from align.recipe.recipe import Recipe

Spans = tuple[Span, ...]
NO_FAST_TOKENIZER = (
    "{model} has no tokenizer.json, so its tokenizer may be a slow one, which does not say what characters a token "
    "covers. Spans need a fast tokenizer: load it once with transformers and save it into the folder "
    "(`AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`), or use another model."
)


class TokenPair(NamedTuple):
    """A pair as tokens, before `max_length` cuts it."""

    prompt: int  # tokens before the responses, those of images included
    marks: Marks  # those of training
    chosen_spans: Spans  # the characters that are marked
    rejected_spans: Spans
    is_equal: bool  # both responses have the same tokens, as far as they are read


Tokenised = list[tuple[PreferencePair, TokenPair]]


def tokenize_here(
    recipe: Recipe, pairs: Sequence[PreferencePair], image_tokens: Mapping[str, int] | None = None
) -> tuple[Tokenised, list[Finding]]:
    """Tokenises pairs that are all texts or all messages, or says why it cannot be done here or at all."""
    model = ModelFiles.of(recipe)
    if model.tokenizer is None and model.folder is not None:
        level: Level = "warning" if recipe.settings.spans == "whole" else "error"
        return [], [Finding(level, "spans", NO_FAST_TOKENIZER.format(model=model.name))]
    is_text = bool(pairs) and isinstance(pairs[0].prompt, str)
    encoded, problems = tokenize_rows(recipe, pairs, render_pair, is_text=is_text)
    rule, taken, tokens = MarkRule.read(recipe.settings), image_tokens or {}, list[TokenPair]()
    for pair, texts in zip(pairs, encoded, strict=False):
        try:
            # Each image has one token in the text.
            tokens.append(_mark(rule, pair, texts, max(0, taken.get(pair.id, 0) - len(pair.images))))
        except ValueError as error:
            return [], [Finding("error", "spans", f"Row {pair.row} ({pair.id}): {error}")]
    return list(zip(pairs, tokens, strict=False)), problems


def usable_pairs(recipe: Recipe, pairs: Sequence[PreferencePair]) -> Sequence[PreferencePair]:
    """Leaves out the pairs with nothing to mark, unless they are kept whole; those that only tokens can tell stay."""
    rule = MarkRule.read(recipe.settings)
    if rule.keeps_whole:
        return pairs
    if isinstance(pairs, list):
        return [pair for pair in pairs if rule.can_mark(pair)]
    flags = map_parts(lambda some: [rule.can_mark(pair) for pair in some], pairs)
    places = [place for place, usable in enumerate(chain.from_iterable(flags)) if usable]
    return pairs if len(places) == len(pairs) else Picked(pairs, places)


def render_prompt(tokenizer: PromptTokenizer, pair: Pair) -> str:
    """Writes the prompt of a pair as the model reads it."""
    if isinstance(pair.prompt, str):
        return pair.prompt
    return tokenizer.render(_messages(pair), settings=template_settings(pair.template))


def render_pair(tokenizer: PromptTokenizer, pair: Pair) -> tuple[str, str, str]:
    """Writes the prompt, and the prompt with each response, as the model reads them."""
    prompt = render_prompt(tokenizer, pair)
    if isinstance(pair.prompt, str):
        return prompt, prompt + tokenizer.end(pair.chosen), prompt + tokenizer.end(pair.rejected)
    chosen, rejected = (
        tokenizer.render(
            _messages(pair, response), add_generation_prompt=False, settings=template_settings(pair.template)
        )
        for response in pair.responses
    )
    return prompt, chosen, rejected


def _messages(pair: Pair, response: Any = ()) -> Any:
    return place_images([*pair.prompt, *response], len(getattr(pair, "images", ())))


def _mark(rule: MarkRule, pair: PreferencePair, encoded: Sequence[Encoded], image_tokens: int) -> TokenPair:
    prompt, *full = (each.text for each in encoded)
    prompt_ids, chosen_ids, rejected_ids = (each.ids for each in encoded)
    shared = count_shared(prompt_ids, chosen_ids, rejected_ids)
    alone = shared if pair.images else 0  # training tokenises the responses of such pairs alone
    tokens = [(each.ids[alone:], each.encoding.offsets[alone:]) for each in encoded[1:]]
    chosen, rejected = tokenized_responses(pair, prompt, full, tokens)
    before, skip = shared + image_tokens, shared - alone
    marks = decide_marks(rule, pair.spans_from, chosen, rejected, prompt=before, skip=skip)
    if marks.unit == "whole":
        spans: tuple[Spans, Spans] = (Span(0, len(pair.chosen)),), (Span(0, len(pair.rejected)),)
    elif marks.unit == "word" or pair.messages is not None:  # the text that is shown is not the one that is marked
        spans = pair.chosen_spans, pair.rejected_spans
    else:
        spans = _marked_characters(chosen, marks.chosen, skip), _marked_characters(rejected, marks.rejected, skip)
    kept = slice(shared, None if rule.max_length is None else max(shared, rule.max_length - image_tokens))
    is_equal = chosen_ids[kept] == rejected_ids[kept] and (marks.is_read or rule.max_length is None)
    return TokenPair(before, marks, *spans, is_equal)


def _marked_characters(response: TokenizedResponse, marks: Sequence[int], skip: int) -> Spans:
    """Finds the characters of marked tokens; tokens in a row make one span."""
    spans: list[Span] = []
    start_of_response, length = response.place(), len(response.response)
    for (first, last), marked in zip(response.offsets[skip:], marks, strict=True):
        start, end = max(0, first - start_of_response), min(last - start_of_response, length)
        if not marked or start >= end:
            continue
        if spans and spans[-1].end >= start:
            spans[-1] = Span(spans[-1].start, end)
        else:
            spans.append(Span(start, end))
    return tuple(spans)


def word_equal(equal: Sequence[Pair], num_pairs: int) -> list[Finding]:
    """Words that pairs are equal in tokens; if all of them are, there is nothing to learn."""
    if not equal:
        return []
    level: Level = "error" if len(equal) == num_pairs else "warning"
    text = (
        f"{len(equal)} of {num_pairs} pairs have the same tokens on both sides, so they teach nothing: "
        f"{name_rows(equal)}. The tokenizer, or `max_length`, drops what tells chosen from rejected. Leave them out, "
        "change a word, or raise `max_length`."
    )
    return [Finding(level, "data", text, {"rows": [pair.row for pair in equal]})]


AUDITED = 1_000  # pairs that are tokenised: these many of the first and of the longest, a tenth of the shortest
NAMES = "Pairs", "A prompt with its longer response"  # of rows, and of what is measured of each
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
    """Picks the pairs that are tokenised: the first, the longest and the shortest, in their order."""
    parts = values_of(pairs, "prompt", "chosen", "rejected")
    sizes = [len(str(prompt)) + max(len(chosen), len(rejected)) for prompt, chosen, rejected in parts]
    longest = nlargest(AUDITED, range(len(pairs)), key=sizes.__getitem__)
    shortest = nsmallest(AUDITED // 10, range(len(pairs)), key=sizes.__getitem__)
    return [pairs[i] for i in sorted({*range(min(AUDITED, len(pairs))), *longest, *shortest})]


def length_ratio(pairs: Sequence[Pair]) -> Estimate:
    """Divides the mean length of chosen responses by that of rejected ones, with Student's interval (delta method)."""
    sizes = ((len(better), len(worse)) for better, worse in values_of(pairs, "chosen", "rejected"))
    lengths = np.fromiter((size for both in sizes for size in both), float).reshape(-1, 2)
    chosen, rejected = lengths.mean(axis=0)
    ratio, n = float(chosen / rejected), len(lengths)
    error = float((lengths[:, 0] - ratio * lengths[:, 1]).std()) / rejected / math.sqrt(max(1, n - 1))
    half = student(n - 1) * error if n > 1 else math.inf
    return Estimate(ratio, ratio - half, ratio + half, n, "pairs")


def check_batch(recipe: Recipe, launch: Launch, num_pairs: int) -> list[Finding]:
    """Says what one step over pairs is."""
    return check_rows(recipe, launch, num_pairs, "pairs", ", of two sequences each", 2)


def pair_activations(recipe: Recipe) -> str:
    """Names the activations of a pass over pairs."""
    return activations(recipe, 2, "sequences", " (both responses of a pair, with their prompts)")


# Ways in which a pair can be too long; of the first two nothing is left to learn from.
CUTS = GONE, UNMARKED, UNMARKED_KEPT, PARTLY_MARKED, SHORTENED = (
    "are cut off whole, because the prompt alone fills `max_length`, and TRL drops them",
    "have all their marked tokens cut off, so that no preference is left to learn",
    "have all their marked tokens cut off, and are kept as plain DPO",
    "have some of their marked tokens cut off",
    "have an end without marks cut off",
)


def check_max_length(recipe: Recipe, pairs: Sequence[PreferencePair], tokens: Sequence[TokenPair]) -> list[Finding]:
    """Compares pairs with the model's window and with `max_length`, which cuts them."""
    lengths = [token.prompt + max(len(token.marks.chosen), len(token.marks.rejected)) for token in tokens]
    return check_window(recipe, lengths, *NAMES) + _check_cuts(recipe, pairs, tokens)


def _check_cuts(recipe: Recipe, pairs: Sequence[PreferencePair], tokens: Sequence[TokenPair]) -> list[Finding]:
    limit = recipe.settings.max_length
    if limit is None:
        return []
    from_start = recipe.settings.truncation_mode == "keep_start"
    found = [_find_cut(token, limit, from_start) for token in tokens]
    findings = []
    of_all = all(cut in (GONE, UNMARKED) for cut in found)
    needed = max(token.prompt + max(len(token.marks.chosen), len(token.marks.rejected)) for token in tokens)
    for cut in (each for each in CUTS if each in found):
        those = [pair for pair, its in zip(pairs, found, strict=True) if its == cut]
        level = level_of_loss(recipe, of_all=of_all) if cut in (GONE, UNMARKED) else "warning"
        has_images = any(pair.images for pair in those)
        remedy = raise_limit(recipe, level, needed, of_all=of_all, has_images=has_images)
        text = f"{len(those)} of {len(pairs)} pairs {cut}: {name_rows(those)}. {remedy}"
        findings.append(Finding(level, "lengths", text, {"rows": [pair.row for pair in those]}))
    return findings


def _find_cut(token: TokenPair, limit: int, from_start: bool) -> str | None:
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
        unit, shown = "characters", [(pair, *_marked_in_text(recipe, pair)) for pair in spread(pairs, SAMPLES)]
        begin = [(pair, *_marked_in_text(recipe, pair)) for pair in pairs[:MEASURED]]
        chosen = _share_of_text((pair.chosen, spans) for pair, spans, _ in begin)
        rejected = _share_of_text((pair.rejected, spans) for pair, _, spans in begin)
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
        return [_sample(pair, *_marked_in_text(recipe, pair)) for pair in sample]
    return [
        _sample(pair, token.chosen_spans, token.rejected_spans)
        | {"marked_share": _share([token.marks.chosen, token.marks.rejected])}
        for pair, token in tokens
    ]


def _marked_in_text(recipe: Recipe, pair: PreferencePair) -> tuple[Spans, Spans]:
    """Returns what is marked, as far as it can be said without a tokenizer."""
    if recipe.settings.spans == "differing" and pair.has_spans:
        return pair.chosen_spans, pair.rejected_spans
    return (Span(0, len(pair.chosen)),), (Span(0, len(pair.rejected)),)


def _share_of_text(marked: Iterable[tuple[str, Spans]]) -> float:
    sizes = [(len(text), sum(end - start for start, end in spans)) for text, spans in marked]
    return sum(size for _, size in sizes) / max(1, sum(length for length, _ in sizes))


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
