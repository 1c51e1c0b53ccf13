"""What a tokenizer makes of preference pairs: their lengths, and which tokens are marked."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import TemplateError

from align.checks.counts import name_rows
from align.checks.finding import Finding, Level
from align.checks.lengths import PromptTokenizer, load_tokenizer, place_images
from align.checks.model import model_folder
from align.data.pairs.marks import MarkRule, Marks, TokenizedResponse, count_shared, decide_marks, marked_texts
from align.data.pairs.pair import Pair
from align.data.pairs.preferences import PreferencePair
from align.data.pairs.spans import Span
from align.data.stored_items import Picked, map_parts
from align.data.template_settings import template_settings
from align.recipe.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Encoding

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
    is_equal: bool  # both responses have the same tokens


Tokenised = list[tuple[PreferencePair, TokenPair]]


def tokenize_here(
    recipe: Recipe, pairs: Sequence[PreferencePair], image_tokens: Mapping[str, int] | None = None
) -> tuple[Tokenised, list[Finding]]:
    """Tokenises pairs that are all texts or all messages, or says why it cannot be done here or at all."""
    model, tokenizer = recipe.model.model_name_or_path, load_tokenizer(recipe)
    if tokenizer is None and model_folder(model) is None:
        text = f"The tokenizer of {model!r} is not on this machine; lengths are unknown and shares are of characters."
        return [], [Finding("warning", "lengths", text)]
    if tokenizer is None:
        level: Level = "warning" if recipe.settings.spans == "whole" else "error"
        return [], [Finding(level, "spans", NO_FAST_TOKENIZER.format(model=model))]
    if problems := check_template(recipe, tokenizer, pairs):
        return [], problems
    try:
        return list(zip(pairs, tokenize_pairs(recipe, tokenizer, pairs, image_tokens or {}), strict=True)), []
    except TemplateError as error:
        return [], [Finding("warning", "lengths", f"Lengths are unknown; the chat template says: {error}.")]
    except ValueError as error:
        return [], [Finding("error", "spans", str(error))]


def check_template(recipe: Recipe, tokenizer: PromptTokenizer, pairs: Sequence[Pair]) -> list[Finding]:
    """Finds messages that no chat template can render."""
    if not pairs or isinstance(pairs[0].prompt, str) or tokenizer.chat_template:
        return []
    model = recipe.model.model_name_or_path
    text = (
        f"The pairs are messages and the tokenizer of {model} has no chat template. Set `chat_template_path`, or "
        "write texts."
    )
    return [Finding("error", "lengths", text)]


def tokenize_pairs(
    recipe: Recipe, tokenizer: PromptTokenizer, pairs: Sequence[PreferencePair], image_tokens: Mapping[str, int]
) -> list[TokenPair]:
    """Tokenises pairs as TRL's DPO does, with so many tokens for images, and marks them as training does."""
    texts = [(render_prompt(tokenizer, pair), *render_pair(tokenizer, pair)) for pair in pairs]
    is_text = bool(pairs) and isinstance(pairs[0].prompt, str)
    encodings = tokenizer.encode([text for parts in texts for text in parts], add_special_tokens=is_text)
    rule, found = MarkRule.read(recipe.settings), []
    for i, pair in enumerate(pairs):
        taken = max(0, image_tokens.get(pair.id, 0) - len(pair.images))  # each image has one token in the text
        try:
            found.append(_mark(rule, pair, texts[i], encodings[3 * i : 3 * i + 3], taken))
        except ValueError as error:
            raise ValueError(f"Row {pair.row} ({pair.id}): {error}") from error
    return found


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


def render_pair(tokenizer: PromptTokenizer, pair: Pair) -> tuple[str, str]:
    """Writes the prompt with each response as the model reads them."""
    if isinstance(pair.prompt, str):
        end = tokenizer.special_token("eos_token") or ""
        chosen, rejected = (text if text.endswith(end) else text + end for text in (pair.chosen, pair.rejected))
        return pair.prompt + chosen, pair.prompt + rejected
    chosen, rejected = (
        tokenizer.render(
            _messages(pair, response), add_generation_prompt=False, settings=template_settings(pair.template)
        )
        for response in pair.responses
    )
    return chosen, rejected


def _messages(pair: Pair, response: Any = ()) -> Any:
    """Returns the prompt with a response, and with places for images if the pair has some."""
    return place_images([*pair.prompt, *response], len(getattr(pair, "images", ())))


def _mark(
    rule: MarkRule,
    pair: PreferencePair,
    texts: tuple[str, str, str],
    encodings: "Sequence[Encoding]",
    image_tokens: int,
) -> TokenPair:
    prompt, *full = texts
    prompt_ids, chosen_ids, rejected_ids = (encoding.ids for encoding in encodings)
    shared = count_shared(prompt_ids, chosen_ids, rejected_ids)
    alone = shared if pair.images else 0  # training tokenises the responses of such pairs alone
    parts = marked_texts(pair, prompt, full)
    chosen, rejected = (
        TokenizedResponse(encoding.ids[alone:], spans, encoding.offsets[alone:], text, prompt, response)
        for encoding, text, (response, spans) in zip(encodings[1:], full, parts, strict=True)
    )
    before, skip = shared + image_tokens, shared - alone
    marks = decide_marks(rule, pair.spans_from, chosen, rejected, prompt=before, skip=skip)
    if marks.unit == "whole":
        spans: tuple[Spans, Spans] = (Span(0, len(pair.chosen)),), (Span(0, len(pair.rejected)),)
    elif marks.unit == "word" or pair.messages is not None:  # the text that is shown is not the one that is marked
        spans = pair.chosen_spans, pair.rejected_spans
    else:
        spans = _marked_characters(chosen, marks.chosen, skip), _marked_characters(rejected, marks.rejected, skip)
    return TokenPair(before, marks, *spans, is_equal=chosen_ids[shared:] == rejected_ids[shared:])


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


def find_equal(tokenizer: PromptTokenizer, pairs: Sequence[Pair]) -> list[Pair]:
    """Finds the pairs whose responses are one and the same sequence of tokens."""
    texts = [text for pair in pairs for text in (pair.chosen, pair.rejected)]
    ids = [encoding.ids for encoding in tokenizer.encode(texts, add_special_tokens=False)]
    return [pair for pair, chosen, rejected in zip(pairs, ids[::2], ids[1::2], strict=True) if chosen == rejected]


def word_equal(equal: Sequence[Pair], num_pairs: int) -> list[Finding]:
    """Words that pairs are equal in tokens; if all of them are, there is nothing to learn."""
    if not equal:
        return []
    level: Level = "error" if len(equal) == num_pairs else "warning"
    text = (
        f"{len(equal)} of {num_pairs} pairs have the same tokens on both sides, so they teach nothing: "
        f"{name_rows(equal)}. The tokenizer drops what tells chosen from rejected. Leave them out, or change a word."
    )
    return [Finding(level, "data", text, {"rows": [pair.row for pair in equal]})]
