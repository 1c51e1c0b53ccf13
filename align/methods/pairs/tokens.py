"""What a tokenizer makes of preference pairs: their lengths, and which tokens are marked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import TemplateError

from align.checks.finding import Finding, Level
from align.checks.lengths import PromptTokenizer, load_tokenizer, place_images
from align.checks.model import model_folder
from align.data.conversations import Message
from align.data.pairs.pair import Pair
from align.data.pairs.preferences import PreferencePair
from align.data.pairs.span_tokens import mark_tokens, place_response
from align.data.pairs.spans import Span, diff_tokens
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

    prompt: int  # tokens before the responses
    chosen: list[int]  # 1 for each marked token of the response, 0 for the others
    rejected: list[int]
    chosen_spans: Spans  # the characters that are marked
    rejected_spans: Spans
    is_missing: bool  # nothing was found to mark; the marks are then those that `on_missing_spans` asks for
    is_equal: bool  # both responses have the same tokens


class _Response(NamedTuple):
    """The tokens of a response, with what ends a turn or a text."""

    ids: list[int]
    offsets: list[tuple[int, int]]  # into what the model reads


Tokenised = list[tuple[PreferencePair, TokenPair]]


def tokenize_here(recipe: Recipe, pairs: Sequence[PreferencePair]) -> tuple[Tokenised, list[Finding]]:
    """Tokenises pairs that are all texts or all messages, or says why it cannot be done here or at all."""
    model, tokenizer = recipe.model.model_name_or_path, load_tokenizer(recipe)
    if tokenizer is None and model_folder(model) is None:
        text = f"The tokenizer of {model!r} is not on this machine; lengths are unknown and shares are of characters."
        return [], [Finding("warning", "lengths", text)]
    if tokenizer is None:
        level: Level = "warning" if recipe.setting("spans") == "whole" else "error"
        return [], [Finding(level, "spans", NO_FAST_TOKENIZER.format(model=model))]
    if problems := check_template(recipe, tokenizer, pairs):
        return [], problems
    try:
        return list(zip(pairs, tokenize_pairs(recipe, tokenizer, pairs), strict=True)), []
    except TemplateError as error:
        return [], [Finding("warning", "lengths", f"Lengths are unknown; the chat template says: {error}.")]
    except ValueError as error:
        return [], [Finding("error", "spans", str(error))]


def check_template(recipe: Recipe, tokenizer: PromptTokenizer, pairs: Sequence[Pair]) -> list[Finding]:
    """Finds messages that no chat template can render."""
    if not pairs or isinstance(pairs[0].prompt, str) or tokenizer.chat_template:
        return []
    model = recipe.model.model_name_or_path
    text = f"The pairs are messages and the tokenizer of {model} has no chat template. Add one, or write texts."
    return [Finding("error", "lengths", text)]


def tokenize_pairs(recipe: Recipe, tokenizer: PromptTokenizer, pairs: Sequence[PreferencePair]) -> list[TokenPair]:
    """Tokenises pairs as TRL's DPO does and marks their tokens as the recipe asks.

    Args:
        recipe: A recipe of RRPO.
        tokenizer: Its tokenizer.
        pairs: Pairs that are all texts or all messages.

    Raises:
        ValueError: If the chat template changes a response, with the row.
        jinja2.TemplateError: If the chat template cannot be rendered.
    """
    texts = [(render_prompt(tokenizer, pair), *render_pair(tokenizer, pair)) for pair in pairs]
    is_text = bool(pairs) and isinstance(pairs[0].prompt, str)
    encodings = tokenizer.encode([text for parts in texts for text in parts], add_special_tokens=is_text)
    return [
        _mark(recipe, pair, texts[i], encodings[3 * i : 3 * i + 3])
        for i, pair in enumerate(pairs)
    ]  # fmt: skip


def marks_words(recipe: Recipe, pair: PreferencePair) -> bool:
    """Says whether the pair's own spans are marked, rather than all tokens or those of a token-level diff."""
    by_token = recipe.setting("diff_unit") == "token" and pair.spans_from == "diff"
    return recipe.setting("spans") == "differing" and not by_token


def usable_pairs(recipe: Recipe, pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Leaves out the pairs with nothing to mark, unless they are kept whole; a diff of tokens is made later."""
    if recipe.setting("on_missing_spans") == "whole":
        return list(pairs)
    return [pair for pair in pairs if pair.chosen_spans or pair.rejected_spans or not marks_words(recipe, pair)]


def render_prompt(tokenizer: PromptTokenizer, pair: Pair) -> str:
    """Writes the prompt of a pair as the model reads it."""
    return pair.prompt if isinstance(pair.prompt, str) else tokenizer.render(_messages(pair))


def render_pair(tokenizer: PromptTokenizer, pair: Pair) -> tuple[str, str]:
    """Writes the prompt with each response as the model reads them."""
    if isinstance(pair.prompt, str):
        end = tokenizer.special_token("eos_token") or ""
        chosen, rejected = (text if text.endswith(end) else text + end for text in (pair.chosen, pair.rejected))
        return pair.prompt + chosen, pair.prompt + rejected
    chosen, rejected = (
        tokenizer.render(_messages(pair, {"role": "assistant", "content": text}), add_generation_prompt=False)
        for text in (pair.chosen, pair.rejected)
    )
    return chosen, rejected


def _messages(pair: Pair, *response: Message) -> Any:
    """Returns the prompt with a response, and with places for images if the pair has some."""
    return place_images([*pair.prompt, *response], len(getattr(pair, "images", ())))


def _mark(
    recipe: Recipe, pair: PreferencePair, texts: tuple[str, str, str], encodings: "Sequence[Encoding]"
) -> TokenPair:
    prompt = encodings[0].ids
    shared = min(_num_shared(prompt, encoding.ids) for encoding in encodings[1:])  # TRL starts both responses here
    chosen, rejected = (_Response(e.ids[shared:], e.offsets[shared:]) for e in encodings[1:])
    whole = TokenPair(
        shared,
        [1] * len(chosen.ids),
        [1] * len(rejected.ids),
        (Span(0, len(pair.chosen)),),
        (Span(0, len(pair.rejected)),),
        is_missing=False,
        is_equal=chosen.ids == rejected.ids,
    )
    if recipe.setting("spans") == "whole":
        return whole
    starts = _start(pair, pair.chosen, texts[0], texts[1]), _start(pair, pair.rejected, texts[0], texts[2])
    if marks_words(recipe, pair):
        chosen_spans, rejected_spans = pair.chosen_spans, pair.rejected_spans
        chosen_marks = mark_tokens(chosen.offsets, chosen_spans, starts[0])
        rejected_marks = mark_tokens(rejected.offsets, rejected_spans, starts[1])
    else:
        chosen_marks, rejected_marks = diff_tokens(chosen.ids, rejected.ids)
        chosen_spans = _marked_characters(chosen, chosen_marks, starts[0], pair.chosen)
        rejected_spans = _marked_characters(rejected, rejected_marks, starts[1], pair.rejected)
    is_missing = not any(chosen_marks) and not any(rejected_marks)
    if is_missing and recipe.setting("on_missing_spans") == "whole":
        return whole._replace(is_missing=True)
    return TokenPair(shared, chosen_marks, rejected_marks, chosen_spans, rejected_spans, is_missing, whole.is_equal)


def _num_shared(prompt: Sequence[int], ids: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(prompt, ids, strict=False)) if a != b), min(len(prompt), len(ids)))


def _start(pair: PreferencePair, response: str, prompt: str, full: str) -> int:
    if isinstance(pair.prompt, str):
        return len(prompt)
    try:
        return place_response(full, prompt, response)
    except ValueError as error:
        raise ValueError(f"Row {pair.row} ({pair.id}): {error}") from error


def _marked_characters(response: _Response, marks: Sequence[int], response_start: int, text: str) -> Spans:
    """Finds the characters of marked tokens; tokens in a row make one span."""
    spans: list[Span] = []
    for (first, last), marked in zip(response.offsets, marks, strict=True):
        start, end = max(0, first - response_start), min(last - response_start, len(text))
        if not marked or start >= end:
            continue
        if spans and spans[-1].end >= start:
            spans[-1] = Span(spans[-1].start, end)
        else:
            spans.append(Span(start, end))
    return tuple(spans)
