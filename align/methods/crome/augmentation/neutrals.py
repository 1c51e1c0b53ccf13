"""Ties that need no oracle: two answers under the question of another pair, and an answer with an idle phrase."""

import random
from collections.abc import Sequence

from align.data.pairs.phrases import insert_phrase
from align.data.pairs.reward_pairs import RewardPair
from align.methods.crome.augmentation.family import Family, make_row
from align.methods.crome.augmentation.originals import read_question

SOURCE = "irrelevant_query"
NO_OTHER = "no other question"


def add_irrelevant_queries(families: Sequence[Family], seed: int, ties_of: str = "any") -> None:
    """Adds one tie to each family: one of its ordered pairs under the prompt of another family.

    A family's draw depends on its own pairs and on the list of originals, not on what became of other families.
    `ties_of="any"` draws among the original and the edited pairs, `"original"` takes the original one.
    """
    originals = [family.original for family in families]
    for i, family in enumerate(families):
        rng = random.Random(f"{seed}/{SOURCE}/{family.original.id}")
        pairs = [row for row in family.rows if not row["tie"]]
        drawn = rng.choice(pairs if ties_of == "any" else pairs[:1])
        other = _draw_other(originals, i, rng)
        if other is None:
            family.leave_out(SOURCE, None, NO_OTHER)
            continue
        answers = _text(drawn["chosen"]), _text(drawn["rejected"])
        about = {"origin": family.original.id, "answers_of": drawn["id"], "attribute": drawn["attribute"]}
        family.rows.append(make_row(other, family.name(SOURCE), SOURCE, answers) | about)


def _draw_other(originals: Sequence[RewardPair], i: int, rng: random.Random) -> RewardPair | None:
    """Draws an original with another question in the same form: the first from a random place on."""
    own, start = originals[i], rng.randrange(len(originals))
    for k in range(len(originals)):
        other = originals[(start + k) % len(originals)]
        same_form = isinstance(other.prompt, str) == isinstance(own.prompt, str)
        if same_form and read_question(other.prompt) != read_question(own.prompt):
            return other
    return None


def _text(response: str | list[dict[str, str]]) -> str:
    return response if isinstance(response, str) else response[-1]["content"]


INSERTED = "inserted_phrase"


def add_inserted_phrases(families: Sequence[Family], phrases: Sequence[str], position: str, seed: int) -> None:
    """Adds one tie to each family: one of the original's two answers, and that answer with one of the phrases.

    A family's draw depends on its original and on the list of phrases alone.
    """
    for family in families:
        original = family.original
        rng = random.Random(f"{seed}/{INSERTED}/{original.id}")
        answer = rng.choice((original.chosen, original.rejected))
        family.add(INSERTED, None, (answer, insert_phrase(answer, rng.choice(phrases), position)), None, None)
