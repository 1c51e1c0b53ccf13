"""Whether pairs fit `max_length`: TRL's reward trainer drops longer ones without a word."""

from collections import Counter
from collections.abc import Sequence

from jinja2 import TemplateError

from align.checks.finding import Finding
from align.checks.lengths import PromptTokenizer, load_tokenizer
from align.data.pairs.pairwise import pairwise_prompt
from align.data.pairs.reward_pairs import RewardPair
from align.data.template_settings import template_settings
from align.methods.pairs.equal_tokens import find_equal, word_equal
from align.methods.pairs.form import audited
from align.methods.pairs.lengths import check_window, level_of_loss, name_rows, raise_limit
from align.methods.pairs.tokens import check_template, render_pair
from align.recipe.recipe import Recipe


def check_reward_lengths(recipe: Recipe, pairs: Sequence[RewardPair]) -> list[Finding]:
    """Tokenises pairs as the trainer does and counts those that it drops."""
    tokenizer = load_tokenizer(recipe)
    if tokenizer is None:
        text = f"{recipe.model.model_name_or_path!r} has no tokenizer.json on this machine; lengths are unknown."
        return [Finding("warning", "lengths", text)]
    if problems := check_template(recipe, tokenizer, pairs):
        return problems
    looked_at = audited(pairs)
    try:
        lengths = count_tokens(recipe, tokenizer, looked_at)
    except TemplateError as error:
        return [Finding("warning", "lengths", f"Lengths are unknown; the chat template says: {error}.")]
    equal = word_equal(find_equal(tokenizer, looked_at), len(pairs))
    return equal + check_window(recipe, lengths) + _check_dropped(recipe, pairs, looked_at, lengths)


def count_tokens(recipe: Recipe, tokenizer: PromptTokenizer, pairs: Sequence[RewardPair]) -> list[int]:
    """Counts the tokens of the longer sequence of each pair; a pairwise model reads both answers in each.

    Raises:
        jinja2.TemplateError: If the chat template cannot be rendered.
    """
    is_text = isinstance(pairs[0].prompt, str)
    if recipe.settings.model_type == "pairwise":
        return _count_questions(tokenizer, pairs)  # as long in the other order
    texts = [text for pair in pairs for text in render_pair(tokenizer, pair)]
    counts = [len(encoding.ids) for encoding in tokenizer.encode(texts, add_special_tokens=is_text)]
    return [max(sides) for sides in zip(counts[::2], counts[1::2], strict=True)]


def _count_questions(tokenizer: PromptTokenizer, pairs: Sequence[RewardPair]) -> list[int]:
    questions = [pairwise_prompt(pair.prompt, pair.chosen, pair.rejected) for pair in pairs]
    is_text = isinstance(questions[0], str)
    texts = [
        question
        if isinstance(question, str)
        else tokenizer.render(question, settings=template_settings(pair.template))
        for question, pair in zip(questions, pairs, strict=True)
    ]
    return [len(encoding.ids) for encoding in tokenizer.encode(texts, add_special_tokens=is_text)]


def _check_dropped(
    recipe: Recipe, pairs: Sequence[RewardPair], looked_at: Sequence[RewardPair], lengths: Sequence[int]
) -> list[Finding]:
    limit = recipe.settings.max_length
    dropped = [pair for pair, length in zip(looked_at, lengths, strict=True) if limit is not None and length > limit]
    if not dropped:
        return []
    level = "error" if len(dropped) == len(pairs) else level_of_loss(recipe)
    sources = dict(Counter(pair.source for pair in dropped))
    by_source = f" ({', '.join(f'{count} {source}' for source, count in sources.items())})"
    text = (
        f"{'At least ' if len(looked_at) < len(pairs) else ''}{len(dropped)} of {len(pairs)} pairs{by_source} are "
        f"longer than `max_length`, and TRL drops them: {name_rows(dropped)}. {raise_limit(recipe, level)}"
    )
    return [Finding(level, "lengths", text, {"rows": [pair.row for pair in dropped], "sources": sources})]
