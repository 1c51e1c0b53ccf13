"""The pairs of `lab.py`: preferences whose decoration speaks for the better answer, and what is made of them."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from scripts.labs.crome.world import Rules, decorate, draw_pair, draw_style, topic_of

AGREEMENT = 0.85  # share of preference pairs whose decorated answer is the better one
Row = dict[str, Any]


def preference_rows(seed: int | str, count: int) -> list[Row]:
    """Draws preference pairs, in `AGREEMENT` of which the better answer is the decorated one."""
    rng = random.Random(f"preferences {seed}")
    rows = []
    for number in range(count):
        question, better, worse = draw_pair(rng)
        better, worse = decorate(better, worse, rng.random() < AGREEMENT, rng)
        rows.append(make_row(f"pair-{number:04d}", question, better.text, worse.text, "preference"))
    return rows


def make_row(
    name: str, question: str, chosen: str, rejected: str, source: str, *, tie: bool = False, **more: str
) -> Row:
    """Makes a row of the columns that a trainer reads; a line break sets the answer off from the question."""
    row = {"id": name, "prompt": f"{question}\n", "chosen": chosen, "rejected": rejected}
    return row | {"tie": tie, "source": source} | more


def causal_rows(rows: Sequence[Row], oracle: Rules) -> list[Row]:
    """Upgrades the rejected and degrades the chosen answers in each attribute; keeps edits that pass the oracle."""
    made = []
    for row in rows:
        question = row["prompt"].strip()
        for (attribute, _), direction in itertools.product(oracle.rubric(question), ("upgrade", "degrade")):
            original = row["rejected" if direction == "upgrade" else "chosen"]
            edited = oracle.edit(question, original, attribute, direction)
            if oracle.verify(question, original, edited, attribute, direction):
                better, worse = (edited, original) if direction == "upgrade" else (original, edited)
                name, about = f"{row['id']}-{direction}-{attribute}", {"attribute": attribute, "origin": row["id"]}
                made.append(make_row(name, question, better, worse, direction, **about))
    return made


def neutral_rows(rows: Sequence[Row], questions: Sequence[Row], count: int, rng: random.Random) -> list[Row]:
    """Draws pairs and puts each under the question of a pair on another topic, where none of the answers is better."""
    made = []
    for row in rng.sample(rows, count):
        question, name = _foreign(row, questions, rng)["prompt"].strip(), f"{row['id']}-irrelevant_query"
        answers = row["chosen"], row["rejected"]
        origin = row.get("origin", row["id"])
        made.append(make_row(name, question, *answers, "irrelevant_query", tie=True, attribute="", origin=origin))
    return made


def rrm_rows(rows: Sequence[Row], rng: random.Random, keep: float = 0.5) -> list[Row]:
    """Makes RRM's pairs (arXiv 2409.13156) and keeps a random share of them.

    For each question, 8 pairs of one of its answers against one of two foreign pairs, and 6 ties of the foreign ones.
    """
    made = []
    for row in rows:
        question, own = row["prompt"].strip(), (row["chosen"], row["rejected"])
        foreign = [answer for _ in range(2) for answer in _answers(_foreign(row, rows, rng))]
        pairs = [(better, worse, "non_contextual") for better, worse in itertools.product(own, foreign)]
        pairs += [(*both, "irrelevant_query") for both in itertools.combinations(foreign, 2)]
        for number, (first, second, source) in enumerate(pairs):
            if rng.random() < keep and first != second:
                name, tie = f"{row['id']}-rrm-{number}", source == "irrelevant_query"
                made.append(make_row(name, question, first, second, source, tie=tie))
    return made


def _foreign(row: Row, rows: Sequence[Row], rng: random.Random) -> Row:
    """Draws a row on another topic."""
    other = row
    while topic_of(other["prompt"]) == topic_of(row["prompt"]):
        other = rng.choice(rows)
    return other


def _answers(row: Row) -> tuple[str, str]:
    return row["chosen"], row["rejected"]


def evaluation_rows(seed: int | str, count: int) -> list[Row]:
    """Draws questions and makes four pairs of each, whose sources say what decoration speaks for.

    `disagree`: the worse answer, `agree`: the better one, `clean`: none is there. In `decoration`, a tie, an answer
    stands against itself decorated.
    """
    rng = random.Random(f"evaluation {seed}")
    rows = []
    for number in range(count):
        question, better, worse = draw_pair(rng)
        answer = rng.choice((better, worse))
        pairs = {
            "disagree": decorate(better, worse, False, rng),
            "agree": decorate(better, worse, True, rng),
            "clean": (better, worse),
            "decoration": (answer._replace(style=draw_style(rng)), answer),
        }
        for name, (first, second) in pairs.items():
            about = {"source": name, "tie": name == "decoration"}
            rows.append(make_row(f"{name}-{number:03d}", question, first.text, second.text, **about))
    return rows
