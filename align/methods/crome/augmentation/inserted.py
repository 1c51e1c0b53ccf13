"""Ties that need no oracle: an answer of a pair, and the same one with a phrase that says nothing of its quality."""

import random
from collections.abc import Sequence

from align.data.pairs.phrases import insert_phrase
from align.methods.crome.augmentation.family import Family

INSERTED = "inserted_phrase"


def add_inserted_phrases(families: Sequence[Family], phrases: Sequence[str], position: str, seed: int) -> None:
    """Adds one tie to each family: one of the original's two answers, and that answer with one of the phrases.

    A family's draw depends on its original and on the list of phrases alone.

    Args:
        families: One for each original; ties are added to them.
        phrases: What is put in.
        position: Where, one of `POSITIONS`.
        seed: Decides the draws.
    """
    for family in families:
        original = family.original
        rng = random.Random(f"{seed}/{INSERTED}/{original.id}")
        answer = rng.choice((original.chosen, original.rejected))
        family.add(INSERTED, None, (answer, insert_phrase(answer, rng.choice(phrases), position)), None, None)
