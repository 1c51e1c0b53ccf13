"""Rows to try a reward with where no data is given."""

from typing import Any

from rewards.reading.responses import ResponseFormat, parse_response
from rewards.running.contract.samples import GOLD_COLUMNS, Sample, gold_column, gold_text, is_choice
from rewards.running.contract.signature import Parameters
from rewards.scoring.accuracy import chosen_options
from rewards.scoring.perturbations import ORIGINAL, SEEN_FAMILIES, UNSEEN_FAMILIES

QUESTIONS = (
    ("Which metal rusts?", ("gold", "iron", "tin", "lead"), 1),
    ("Which is a gas?", ("helium", "salt", "sand", "oil"), 0),
    ("Which animal flies?", ("cat", "dog", "cow", "bat"), 3),
    ("Which number is even?", ("3", "7", "8", "9"), 2),
)
SUMS = (("What is 17 + 25?", "42"), ("What is 9 * 8?", "72"), ("What is 100 - 1?", "99"), ("What is 20 / 4?", "5"))
FAMILIES = (ORIGINAL, SEEN_FAMILIES[0], UNSEEN_FAMILIES[0])
VERSIONS = ("origin", "family")  # columns of `rewards.perturbed_rows`
SECOND_PASS = ("first_choice", "second_choices")  # columns that `ACRETrainer` adds


def synthetic_rows(parameters: Parameters) -> list[dict[str, Any]]:
    """Makes multiple-choice questions for a reward that reads `options`, and sums for every other one."""
    if set(VERSIONS) <= set(parameters.columns):
        names = [(row, family) for row in _questions()[:2] for family in FAMILIES]
        order = {"permutation": [0, 1, 2, 3]}
        return [row | order | dict(zip(VERSIONS, (row["id"], family), strict=True)) for row, family in names]
    if {"options", *SECOND_PASS} & set(parameters.columns):
        return _questions()
    read = [name for name in parameters.columns if name not in parameters.settings]  # `target=40` is no right answer
    golds = [name for name in read if name in GOLD_COLUMNS] or ["answer", "solution"]
    return [{"id": f"sum-{i}", "prompt": prompt} | dict.fromkeys(golds, gold) for i, (prompt, gold) in enumerate(SUMS)]


def _questions() -> list[dict[str, Any]]:
    return [
        {"id": f"question-{i}", "prompt": question, "question": question, "options": list(options)}
        | {"answer": answer, "group": None}
        for i, (question, options, answer) in enumerate(QUESTIONS)
    ]


def second_pass_columns(sample: Sample, tags: ResponseFormat) -> dict[str, Any]:
    """Makes the columns that `ACRETrainer` or `TextACRETrainer` adds, of a policy that answers the same again."""
    if not is_choice(sample.row):
        column = gold_column([sample.row])
        right = column is not None and parse_response(sample.text, tags).answer == gold_text(sample.row, column)
        return {"first_right": right, "second_right": [right]}
    (choice,) = chosen_options([sample.text], [sample.row["options"]], tags)
    return {"first_choice": choice, "second_choices": None if choice is None else [choice]}
