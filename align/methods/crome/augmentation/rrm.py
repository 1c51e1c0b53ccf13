"""The pairs of RRM (Liu et al. 2024, arXiv 2409.13156), which Crome is compared with: answers under foreign prompts.

Two other prompts are drawn for each pair. Both of its own answers are better than the four answers of those under its
prompt, eight pairs; any two of the four tie there, six pairs. A share of the fourteen is kept.
"""

import random
from collections.abc import Sequence
from itertools import combinations, product

from align.data.pairs.reward_pairs import RewardPair
from align.methods.crome.augmentation.family import NO_OTHER, Family, draw_other, make_row

RRM = "rrm"  # in place of a path to rules
OWN, FOREIGN = "own_answer", "foreign_answers"  # sources: pairs with an order, and ties
KEPT = 0.5


def rrm_families(originals: Sequence[RewardPair], seed: int, kept: float = KEPT) -> list[Family]:
    """Makes RRM's pairs of each original, which depend on the list of originals and the seed alone."""
    families = []
    for i, original in enumerate(originals):
        family = Family(original)
        own = (original.chosen, original.rejected)
        family.rows.append(make_row(original, original.id, original.source, own))
        rng = random.Random(f"{seed}/{RRM}/{original.id}")
        others = [draw_other(originals, i, rng) for _ in range(2)]
        foreign = list(dict.fromkeys(text for other in others if other for text in (other.chosen, other.rejected)))
        made = [(OWN, answers) for answers in product(own, foreign) if answers[0] != answers[1]]
        made += [(FOREIGN, answers) for answers in combinations(foreign, 2)]
        if not made:
            family.leave_out(OWN, None, NO_OTHER)
        for number, (source, answers) in enumerate(made):
            if rng.random() < kept:
                row = make_row(original, f"{original.id}/{source}/{number}", source, answers)
                family.rows.append(row | {"tie": source == FOREIGN})
        families.append(family)
    return families
