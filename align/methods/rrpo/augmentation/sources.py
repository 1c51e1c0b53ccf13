"""The rows that pairs are made from: a prompt, maybe with images, and the text of its right answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from align.data.files import RawRow, Row, find_split
from align.data.loading import Schema, load_rows, name_row
from align.data.media.images import ImageLike
from align.data.media.rows import MediaReader, check_placeholders, media_folder
from align.data.problems import BadRow, DataReport
from align.data.rules import check_label
from align.data.texts import fold, is_blank
from align.methods.rrpo.augmentation.perturbations import ModelInput
from align.models.samplers.input_images import InputImage
from align.models.samplers.sampler import Prompt, prompt_text
from align.recipe.dataset import MediaSettings
from rewards.reading.options import LETTER_AND_TEXT, LETTERS


@dataclass(frozen=True)
class Source:
    """One row that passed every check."""

    id: str  # unique in the data set
    given: ModelInput
    reference: str
    wrong_answers: tuple[str, ...]  # texts known to be wrong, such as the other options
    columns: Mapping[str, Any]  # the row as read, for a judge
    row: int  # line of a JSONL or CSV file, else number of the record
    letter: str = ""  # of the right option, where `options` hold the reference

    @property
    def options(self) -> tuple[str, ...]:
        """Texts of the options in the order of their letters, where one of them is the reference."""
        return tuple(map(str, self.columns["options"])) if self.letter else ()


def load_sources(
    path: str,
    *,
    split: str | None = None,
    on_bad_rows: Literal["raise", "skip"] = "raise",
    max_rows: int | None = None,
    media: MediaSettings | None = None,
) -> tuple[list[Source], DataReport]:
    """Loads rows to make pairs from.

    A row needs `prompt` (text, or messages that end with the user's) and `reference` (text). `id` (default: file name
    and row), `context`, `wrong_answers` or `options` (in the order of their letters), and one of `image`, `images` and
    `video` may be there. A judge sees every column.
    """
    file, split = find_split(path, split)
    report = DataReport(file)
    reader = MediaReader(media_folder(file), media)

    def check(content: Row, raw: RawRow) -> Source:
        return check_source(content, raw.row, name_row(raw.row, file), reader.read(content))

    with reader.progress:
        sources = load_rows(
            report, check, Schema(("prompt", "reference")), split=split, on_bad_rows=on_bad_rows, max_rows=max_rows
        )
    return sources, report


def check_source(content: Row, row: int, default_id: str, images: Sequence[ImageLike] = ()) -> Source:
    """Checks the columns of a row, whose images were opened before; raises `BadRow` at the first broken rule."""
    context = content.get("context")
    reference = _check_text(content, "reference", "Write the text of the right answer.")
    given = ModelInput(
        _check_prompt(content.get("prompt")),
        None if context is None else _check_text(content, "context", "Write a text or leave the column out."),
        tuple(map(InputImage, images)),
    )
    if images:
        check_placeholders("prompt", str(given.rendered))
    return Source(
        id=check_label("id", content.get("id")) or default_id,
        given=given,
        reference=reference,
        wrong_answers=_check_wrong_answers(content, reference),
        columns=content,
        row=row,
        letter=_check_letter(content.get("options"), reference, prompt_text(given.prompt)),
    )


def _check_text(content: Row, column: str, remedy: str) -> str:
    text = content.get(column)
    if not isinstance(text, str) or is_blank(text):
        raise BadRow(column, text, f"the {column} is missing, empty or not a text", remedy)
    return text.strip()


def _check_prompt(prompt: object) -> Prompt:
    if isinstance(prompt, str) and not is_blank(prompt):
        return prompt
    if not isinstance(prompt, list | tuple) or not prompt:
        raise BadRow("prompt", prompt, "the prompt is missing or empty", "Write a text or a list of messages.")
    for message in prompt:
        if not isinstance(message, Mapping) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            remedy = 'Write {"role": "user", "content": "..."}; only text is read.'
            raise BadRow("prompt", message, "a message lacks a role or a text as content", remedy)
    if prompt[-1]["role"] != "user" or is_blank(prompt[-1]["content"]):
        remedy = "The model answers the last message: end with the user's."
        raise BadRow("prompt", prompt[-1], "the last message is not a text of the user", remedy)
    return [{"role": message["role"], "content": message["content"]} for message in prompt]


def _check_wrong_answers(content: Row, reference: str) -> tuple[str, ...]:
    column = "options" if content.get("wrong_answers") is None else "wrong_answers"
    answers = content.get(column)
    if answers is None:
        return ()
    if not isinstance(answers, list | tuple) or not all(
        isinstance(each, str) and not is_blank(each) for each in answers
    ):
        raise BadRow(column, answers, f"the {column} are not a list of texts", 'Write ["iron", "gold"].')
    wrong = tuple(answer.strip() for answer in answers if fold(answer) != fold(reference))
    if column == "wrong_answers" and len(wrong) < len(answers):
        raise BadRow(column, answers, "the reference is among the wrong answers", "Remove it there.")
    return wrong


def _check_letter(options: object, reference: str, prompt: str) -> str:
    """Finds the letter of the right option, which must be the one that the prompt shows before it."""
    right = fold(reference)
    texts = [fold(each) for each in options] if isinstance(options, list | tuple) else []
    if right not in texts[: len(LETTERS)]:
        return ""
    letter = LETTERS[texts.index(right)]
    written = filter(None, (LETTER_AND_TEXT.fullmatch(line.strip()) for line in prompt.splitlines()))
    shown = {(line[1] or line[2]).upper() for line in written if fold(line[3]) == right}
    if shown and letter not in shown:
        what = f"the prompt shows the right answer as {', '.join(sorted(shown))}, and it is {letter} in their order"
        raise BadRow("options", options, what, "Write them in the order of the letters in the prompt.")
    return letter
