"""Changes to a question's images that show what an answer owes to them; the text stays as it is."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from typing import Any

from align.data.media.images import open_image
from align.data.questions.multiple_choice import Question
from align.models.policies.answer_keys import image_names

_GREY = (128, 128, 128)


def without_images(questions: Sequence[Question]) -> list[Question | None]:
    """Takes the images away; None for a question that has none."""
    return [replace(each, images=()) if each.images else None for each in questions]


def with_blank_images(questions: Sequence[Question]) -> list[Question | None]:
    """Puts mid-grey images of the same sizes in place; None for a question without images."""
    return [
        replace(each, images=tuple(_blank(open_image(image).size) for image in each.images)) if each.images else None
        for each in questions
    ]


def with_shuffled_frames(questions: Sequence[Question], seed: int) -> list[Question | None]:
    """Puts the images in another order than their own; None where there is no other, as with one image."""
    return [_shuffled(each, random.Random(f"{seed}/{each.id}/frames")) for each in questions]


def with_other_images(questions: Sequence[Question], seed: int) -> tuple[list[Question | None], list[str | None]]:
    """Gives each question the images of another one, of other content and, where there are such, as many.

    Questions with images stand in a circle in an order that depends on the seed, and each takes from the next one
    that will do.

    Returns:
        The changed questions, None where there is no donor; and the donors' ids.
    """
    names = [tuple(image_names(each.images)) for each in questions]
    circle = [i for i, each in enumerate(questions) if each.images]
    random.Random(f"{seed}/image donors").shuffle(circle)
    donors: list[int | None] = [None] * len(questions)
    for place, i in enumerate(circle):
        as_many = (j for j in _after(circle, place) if names[j] != names[i] and len(names[j]) == len(names[i]))
        donors[i] = next(as_many, None)
        if donors[i] is None:
            donors[i] = next((j for j in _after(circle, place) if names[j] != names[i]), None)
    changed = [
        None if j is None else replace(each, images=questions[j].images)
        for each, j in zip(questions, donors, strict=True)
    ]
    return changed, [None if j is None else questions[j].id for j in donors]


def _after(circle: Sequence[int], place: int) -> Iterator[int]:
    return (circle[(place + step) % len(circle)] for step in range(1, len(circle)))


def _shuffled(question: Question, rng: random.Random) -> Question | None:
    names = image_names(question.images)
    if len(set(names)) < 2:
        return None
    order = list(range(len(names)))
    while [names[i] for i in order] == names:
        rng.shuffle(order)
    return replace(question, images=tuple(question.images[i] for i in order))


@lru_cache(maxsize=256)
def _blank(size: tuple[int, int]) -> dict[str, Any]:
    from PIL import Image

    written = BytesIO()
    Image.new("RGB", size, _GREY).save(written, "png")  # some kilobytes, where the pixels would be megabytes
    return {"bytes": written.getvalue(), "path": None}
