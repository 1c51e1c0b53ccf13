import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from align.data.media.images import add_images
from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from rewards.reading.options import can_shuffle, draw_permutation, permute, to_shown


def questions_to_rows(
    questions: Sequence[Question], template: PromptTemplate, *, shuffle_options: bool = False, seed: int = 0
) -> tuple[list[dict[str, Any]], int]:
    """Makes the rows that trainers and rewards read.

    With `shuffle_options`, each question's options get an order drawn from the seed and its id, so that it does not
    depend on the other questions. Options that have to stay in their order do.

    Returns:
        Rows with `id`, `prompt`, `question`, `options`, `answer` (index into `options`), `group`, and `images` if any
        question has some; and how many questions were to be shuffled and had to stay in their order.
    """
    rows = []
    for question in questions:
        options, answer = list(question.options), question.answer
        if shuffle_options:
            permutation = draw_permutation(options, random.Random(f"{seed}/{question.id}"))
            options, answer = permute(options, permutation), to_shown(answer, permutation)
        row = {
            "id": question.id,
            "prompt": template.render(question.question, options),
            "question": question.question,
            "options": options,
            "answer": answer,
            "group": question.group,
        }
        rows.append(row)
    num_fixed = sum(not can_shuffle(question.options) for question in questions) if shuffle_options else 0
    return add_images(rows, [question.images for question in questions]), num_fixed


def show_anew(
    row: Mapping[str, Any], render: Callable[[str, Sequence[str]], Any], *, seed: int, visit: int
) -> dict[str, Any]:
    """Shows a row's options in an order drawn from the seed, its id (or its question) and the number of a visit.

    Prompt, options and answer change together; options that have to stay in their order do.
    """
    name = row.get("id") or row["question"]
    permutation = draw_permutation(row["options"], random.Random(f"{seed}/{name}/{visit}"))
    options = permute(row["options"], permutation)
    answer = to_shown(row["answer"], permutation)
    return {**row, "prompt": render(row["question"], options), "options": options, "answer": answer}
