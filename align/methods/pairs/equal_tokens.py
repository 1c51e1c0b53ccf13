"""Pairs whose responses are the same to the model: a tokenizer may drop case, accents or unknown characters."""

from collections.abc import Sequence

from align.checks.finding import Finding, Level
from align.checks.lengths import PromptTokenizer
from align.data.pairs.pair import Pair
from align.methods.pairs.lengths import name_rows


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
