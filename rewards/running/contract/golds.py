"""What the right answers of the data are, where a reward can read none of them, and which reward reads such ones."""

import re

from rewards.reading.options import LETTERS
from rewards.running.contract.samples import Row, gold_column, gold_text, is_choice
from rewards.running.contract.trial import Trial

SHOWN = 3
_NUMBER = re.compile(r"\d")


def name_the_golds(trial: Trial) -> str:
    """Says in a sentence what right answers the rows hold, and which reward grades such ones.

    Returns:
        The sentence; empty if the reward reads none, or they hold numbers, as most rewards can read.
    """
    column, read = gold_column(trial.rows), trial.description.parameters.columns
    if trial.is_synthetic or column is None or column not in read:
        return ""
    if column == "answer" and all(is_choice(row) for row in trial.rows):
        return "" if "options" in read else _of_options(trial.rows[0])
    golds = list(dict.fromkeys(text for row in trial.rows if (text := gold_text(row, column))))
    if not golds or any(_NUMBER.search(gold) for gold in golds):
        return ""
    shown = ", ".join(f"{gold!r:.40}" for gold in golds[:SHOWN])
    if all(len(gold) == 1 and gold.upper() in LETTERS for gold in golds):
        beside = "" if "options" in trial.rows[0] else ", beside a column `options`: the list of their texts"
        return f"The right answers, `{column}`, are letters ({shown}) and no numbers: `accuracy` grades them{beside}."
    return f"The right answers, `{column}`, are texts without a number ({shown}): `text_accuracy` compares those."


def _of_options(row: Row) -> str:
    right = row["answer"]
    first = f"row 1: {right}, which is {LETTERS[right]}, {row['options'][right]!r:.40}"
    return (
        f"The right answers, `answer`, are indices into `options` ({first}), and responses name a letter or a text: "
        "`accuracy` grades them."
    )
