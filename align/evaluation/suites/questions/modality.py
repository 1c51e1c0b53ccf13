"""How much a policy looks: greedy first answers with the images taken away, exchanged, blanked or shuffled."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from align.data.media.images import grey_out
from align.data.questions.multiple_choice import Question
from align.evaluation.asking import Asker
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Choice, Values, accuracy
from align.evaluation.suites.questions.answering import ItemResult
from align.evaluation.suites.questions.reliance import draw_donors
from align.models.policies.answer_keys import image_names
from align.models.policies.asking import Decoding


def with_blank_images(question: Question) -> Question | None:
    """Puts mid-grey images of the same sizes in place; None for a question without images."""
    blank = tuple(map(grey_out, question.images))
    return replace(question, images=blank) if blank else None


def with_shuffled_frames(question: Question, seed: int) -> Question | None:
    """Puts the images in another order than their own; None where there is no other, as with one image."""
    names = image_names(question.images)
    if len(set(names)) < 2:
        return None
    order, rng = list(range(len(names))), random.Random(f"{seed}/{question.id}/frames")
    while [names[i] for i in order] == names:
        rng.shuffle(order)
    return replace(question, images=tuple(question.images[i] for i in order))


def with_other_images(questions: Sequence[Question], seed: int) -> tuple[list[Question | None], list[str | None]]:
    """Gives each question the images of another one, of other content and, where there are such, as many.

    Questions with images stand in a circle in an order that depends on the seed, and each takes from the next one that
    will do. Returns the changed questions, None where there is no donor, and the donors' ids.
    """
    names = [tuple(image_names(each.images)) for each in questions]
    donors = draw_donors(
        len(questions),
        [i for i, each in enumerate(questions) if each.images],
        f"{seed}/image donors",
        lambda i, j: names[j] != names[i] and len(names[j]) == len(names[i]),
        lambda i, j: names[j] != names[i],
    )
    changed = [
        None if j is None else replace(each, images=questions[j].images, video=questions[j].video)
        for each, j in zip(questions, donors, strict=True)
    ]
    return changed, [None if j is None else questions[j].id for j in donors]


OWN = "own_images"
CHANGES = {
    "no_images": "without images",
    "other_images": "with another question's images",
    "blank_images": "with blank images",
    "shuffled_frames": "with shuffled frames",
}  # and how the stage of asking is called


def probe_images(
    asker: Asker, questions: Sequence[Question], items: Sequence[ItemResult], decoding: Decoding, seed: int
) -> dict[str, list[Any]]:
    """Asks each question with images again, whole responses, with every change to its images.

    They are generated anew because a trace that was written with the images may already say what they show, and
    greedily. Columns by name are `(N * S,)`, equal for the samples of a question: `<condition>_choice`,
    `<condition>_completion`, `asked_with` (the conditions that were asked, the own images included) and
    `other_images_id`.
    """
    others, donors = with_other_images(questions, seed)
    asked: dict[str, list[Question | None]] = {
        "no_images": [replace(each, images=()) if each.images else None for each in questions],
        "other_images": others,
        "blank_images": [*map(with_blank_images, questions)],
        "shuffled_frames": [with_shuffled_frames(each, seed) for each in questions],
    }
    own: list[Question | None] = [each if each.images else None for each in questions]
    greedy = replace(decoding, temperature=0.0, top_p=1.0, num_samples=1)
    found = {name: _answers(asker, each, greedy, CHANGES[name]) for name, each in asked.items()}
    if decoding.greedy:
        pairs = zip(own, items, strict=True)
        found[OWN] = [(None, None) if each is None else (item.first_choice, item.completion) for each, item in pairs]
    else:
        found[OWN] = _answers(asker, own, greedy, "with the own images, greedily")
    columns: dict[str, list[Any]] = {}
    for name in (OWN, *CHANGES):
        columns[f"{name}_choice"] = [choice for choice, _ in found[name]]
        columns[f"{name}_completion"] = [text for _, text in found[name]]
    with_own = {OWN: own} | asked
    columns["asked_with"] = [[name for name, each in with_own.items() if each[i]] for i in range(len(questions))]
    columns["other_images_id"] = list(donors)
    return {name: [value for value in values for _ in range(decoding.num_samples)] for name, values in columns.items()}


def modality_values(items: Sequence[ItemResult], columns: Mapping[str, Sequence[Any]]) -> dict[str, ItemMean]:
    """Returns each metric as `(N * S,)` per-item values, `nan` where the condition was not asked."""
    gold = [item.gold for item in items]
    own: Sequence[Choice] = columns[f"{OWN}_choice"]
    right: dict[str, Values] = {}
    same: dict[str, Values] = {}
    for name in (OWN, *CHANGES):
        choices: Sequence[Choice] = columns[f"{name}_choice"]
        was_asked = np.array([name in conditions for conditions in columns["asked_with"]])
        kept = np.array([float(a is not None and a == b) for a, b in zip(choices, own, strict=True)])
        right[name] = np.where(was_asked, accuracy(choices, gold), np.nan)
        same[name] = np.where(was_asked, kept, np.nan)
    metrics = {
        f"modality_reliance/{name}": ItemMean((right[OWN] - right[name],), bounds=(-1.0, 1.0)) for name in CHANGES
    }
    metrics |= {f"accuracy_with/{name}": ItemMean((values,)) for name, values in right.items()}
    return metrics | {f"same_answer_with/{name}": ItemMean((same[name],)) for name in CHANGES}


def count_generations(columns: Mapping[str, Sequence[Any]], decoding: Decoding) -> int:
    """Counts the responses that the probe generated beside the first answers."""
    known = {OWN} if decoding.greedy else set()
    per_question = columns.get("asked_with", [])[:: decoding.num_samples]
    return sum(len(set(conditions) - known) for conditions in per_question)


def _answers(
    asker: Asker, questions: Sequence[Question | None], decoding: Decoding, stage: str
) -> list[tuple[Choice, str | None]]:
    places = [i for i, each in enumerate(questions) if each is not None]
    found: list[tuple[Choice, str | None]] = [(None, None)] * len(questions)
    responses = asker.respond([each for each in questions if each is not None], decoding, stage=stage)
    for i, (first,) in zip(places, responses, strict=True):
        found[i] = (first.choice, first.completion.text)
    return found
