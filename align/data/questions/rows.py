import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from align.data.media.images import add_images
from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.data.stored_items import MadeRows, map_parts, values_of
from rewards.reading.options import can_shuffle, draw_permutation, permute, to_shown

LETTER = 4  # characters around an option, as in "A. " and the end of its line


def questions_to_rows(
    questions: Sequence[Question], template: PromptTemplate, *, shuffle_options: bool = False, seed: int = 0
) -> tuple[list[dict[str, Any]], int]:
    """Makes the rows that trainers and rewards read, and counts those that were to be shuffled and had to stay.

    With `shuffle_options`, each question's options get an order drawn from the seed and its id, so that it does not
    depend on the other questions. Options that have to stay in their order do. `answer` is an index into `options`.
    """
    rows = [_question_to_row(question, template, shuffle_options, seed) for question in questions]
    num_fixed = sum(not can_shuffle(question.options) for question in questions) if shuffle_options else 0
    return add_images(rows, questions), num_fixed


def question_rows(
    questions: Sequence[Question], template: PromptTemplate, *, shuffle_options: bool = False, seed: int = 0
) -> Sequence[dict[str, Any]]:
    """Does as `questions_to_rows`; of questions that are not in memory the rows are made when they are read."""
    if isinstance(questions, list) or any(
        map_parts(lambda part: any(question.images for question in part), questions)
    ):
        return questions_to_rows(questions, template, shuffle_options=shuffle_options, seed=seed)[0]
    make = partial(_question_to_row, template=template, shuffle_options=shuffle_options, seed=seed)
    return MadeRows(questions, make, _prompt_sizes)


def _prompt_sizes(questions: Sequence[Question]) -> list[int]:
    """Counts the characters of questions and options; what a template adds is the same for all."""
    return [size for sizes in map_parts(_sizes_of_part, questions) for size in sizes]


def _sizes_of_part(questions: Sequence[Question]) -> list[int]:
    fields = values_of(questions, "question", "options")
    return [len(question) + sum(map(len, options)) + LETTER * len(options) for question, options in fields]


def _question_to_row(question: Question, template: PromptTemplate, shuffle_options: bool, seed: int) -> dict[str, Any]:
    row = {
        "id": question.id,
        "prompt": template.render(question.question, question.options),
        "question": question.question,
        "options": list(question.options),
        "answer": question.answer,
        "group": question.group,
    }
    if question.answer is None:  # so that what needs a right answer says that there is none
        del row["answer"]
    return shuffled(row, _by_question(template.render), f"{seed}/{question.id}") if shuffle_options else row


def _by_question(render: Callable[[str, Sequence[str]], Any]) -> Callable[[Mapping[str, Any]], Any]:
    return lambda row: render(row["question"], row["options"])


def shuffled(row: Mapping[str, Any], render: Callable[[Mapping[str, Any]], Any], draw: str) -> dict[str, Any]:
    """Shows a row's options in an order drawn from a text, and says where the right one stands then."""
    permutation = draw_permutation(row["options"], random.Random(draw))
    shown: dict[str, Any] = {"options": permute(row["options"], permutation)}
    if "answer" in row:
        shown["answer"] = to_shown(row["answer"], permutation)
    return {**row, **shown, "prompt": render({**row, **shown})}


def show_anew(
    render: Callable[[str, Sequence[str]], Any], seed: int, row: Mapping[str, Any], visit: str
) -> dict[str, Any]:
    """Shows a row's options in an order drawn from the seed, its id (or its question) and the name of a visit."""
    return shuffled(row, _by_question(render), f"{seed}/{row.get('id') or row['question']}/{visit}")
