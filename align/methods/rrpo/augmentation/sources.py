"""The rows that pairs are made from, and what makes them harder, so that a model errs where it should not."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from align.data.conversations import check_prompt, last_text, message_text
from align.data.files import RawRow, Row, find_split
from align.data.loading import RowOptions, Schema, load_rows
from align.data.media.images import ImageLike
from align.data.media.rows import MediaReader, check_placeholders, media_folder
from align.data.problems import BadRow, DataReport
from align.data.question_checks import check_label
from align.data.texts import fold, is_blank
from align.models.samplers.input_images import InputImage
from align.models.samplers.sampler import Prompt
from align.recipe.dataset import MediaSettings
from rewards.reading.options import LETTER_AND_TEXT, LETTERS

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


MASKED_SHARE = (0.25, 0.5)  # of the parts
WINDOW = 4  # parts that may change places with each other
T = TypeVar("T")


def draw_masked(count: int, rng: random.Random) -> list[int]:
    """Draws 25 to 50 % of `count` parts; none of a single one."""
    lowest, highest = -int(-count * MASKED_SHARE[0] // 1), int(count * MASKED_SHARE[1])
    return rng.sample(range(count), rng.randint(lowest, highest)) if highest else []


def shuffled(items: Sequence[T], rng: random.Random) -> list[T]:
    """Draws an order that differs from the given one wherever two items differ."""
    given, drawn = list(items), list(items)
    while drawn == given and any(item != given[0] for item in given):
        rng.shuffle(drawn)
    return drawn


def shuffled_in_windows(items: Sequence[T], rng: random.Random) -> list[T]:
    """Draws another order inside each window of four."""
    windows = [shuffled(items[start : start + WINDOW], rng) for start in range(0, len(items), WINDOW)]
    return [item for window in windows for item in window]


Images = Sequence[InputImage]
ImageStep = Callable[[Images, random.Random], list[InputImage]]
GRID = 8  # patches a side of a single image
BLUR = 0.05  # radius (standard deviation) as a share of the shorter side


@dataclass(frozen=True)
class Mask:
    """Blacks out cells of a grid; one of one cell blacks out everything."""

    grid: int = 1  # cells a side
    cells: tuple[int, ...] = (0,)  # row by row

    def __call__(self, image: "PILImage") -> "PILImage":
        """Returns another image of the same size and mode."""
        masked, (width, height), grid = image.copy(), image.size, self.grid
        for row, column in (divmod(cell, grid) for cell in self.cells):
            left, right = (edge * width // grid for edge in (column, column + 1))
            top, bottom = (edge * height // grid for edge in (row, row + 1))
            masked.paste(0, (left, top, right, bottom))
        return masked


@dataclass(frozen=True)
class Blur:
    """Blurs with a Gaussian, whose radius is a share of the shorter side."""

    radius: float = BLUR

    def __call__(self, image: "PILImage") -> "PILImage":
        """Returns another image of the same size and mode."""
        from PIL import ImageFilter

        return image.filter(ImageFilter.GaussianBlur(self.radius * min(image.size)))


def mask_images(images: Images, rng: random.Random) -> list[InputImage]:
    """Blacks out 25 to 50 % of the frames, or of the patches of a single image."""
    if len(images) == 1:
        return [replace(images[0], edit=Mask(GRID, tuple(sorted(draw_masked(GRID * GRID, rng)))))]
    masked = set(draw_masked(len(images), rng))
    return [replace(image, edit=Mask()) if i in masked else image for i, image in enumerate(images)]


def blur_images(images: Images, rng: random.Random) -> list[InputImage]:
    """Blurs every image alike."""
    return [replace(image, edit=Blur()) for image in images]


TextStep = Callable[[str, random.Random], str]
MASK = "____"
WORD_END = re.compile(r"(\s+)")
SENTENCE_END = re.compile(r"((?<=[.!?])\s+|(?<=[。！？])\s*|\s*\n\s*)(?=\S)")  # noqa: RUF001 - Chinese punctuation


@dataclass(frozen=True)
class ModelInput:
    """What a model is asked."""

    prompt: Prompt  # a text, or messages of which the last is the user's
    context: str | None = None  # read before the prompt; with one, only the context is perturbed
    images: tuple[InputImage, ...] = ()  # in front of the text, such as frames; with some, only they are perturbed

    @property
    def rendered(self) -> Prompt:
        """The prompt with its context in front, without the images."""
        if self.context is None:
            return self.prompt
        return _with_text(self.prompt, f"{self.context}\n\n{last_text(self.prompt)}")


class Perturbation:
    """Perturbs the images, else the context, else the last message but for a last sentence that ends with `?`."""

    def __init__(self, text: Sequence[TextStep] = (), images: Sequence[ImageStep] = ()) -> None:
        self._text, self._images = text, images

    def __call__(self, given: ModelInput, rng: random.Random) -> ModelInput:
        """Applies the steps in their order; an input that holds nothing to change stays. `rng` decides the rest."""
        if given.images:
            return replace(given, images=tuple(_take_steps(self._images, given.images, rng)))
        if given.context is not None:
            return replace(given, context=_take_steps(self._text, given.context, rng))
        body, question = split_question(last_text(given.prompt))
        return replace(given, prompt=_with_text(given.prompt, _take_steps(self._text, body, rng) + question))


def _take_steps(steps: Sequence[Callable[[Any, random.Random], Any]], value: Any, rng: random.Random) -> Any:
    for step in steps:
        value = step(value, rng)
    return value


def split_question(text: str) -> tuple[str, str]:
    """Splits off the last sentence if it is a question.

    Example:
        >>> split_question("Rome is in Italy. Where is Rome?")
        ('Rome is in Italy. ', 'Where is Rome?')
        >>> split_question("Name a city.")
        ('Name a city.', '')
    """
    if not text.rstrip().endswith(("?", "？")):  # noqa: RUF001 - Chinese punctuation
        return text, ""
    start = max((match.end() for match in SENTENCE_END.finditer(text)), default=0)
    return text[:start], text[start:]


def mask_words(text: str, rng: random.Random) -> str:
    """Replaces 25 to 50 % of the words by `____`; a single word stays."""

    def mask(words: list[str]) -> list[str]:
        masked = set(draw_masked(len(words), rng))
        return [MASK if i in masked else word for i, word in enumerate(words)]

    return _change_parts(text, WORD_END, mask)


def shuffle_sentences(text: str, rng: random.Random) -> str:
    """Puts the sentences into another order (global shuffle)."""
    return _change_parts(text, SENTENCE_END, lambda sentences: shuffled(sentences, rng))


def shuffle_words(text: str, rng: random.Random) -> str:
    """Puts the words inside each window of four into another order (local shuffle)."""
    return _change_parts(text, WORD_END, lambda words: shuffled_in_windows(words, rng))


def _change_parts(text: str, end: re.Pattern[str], change: Callable[[list[str]], list[str]]) -> str:
    """Changes the parts of a stripped text, as many as before; what stands between and around them stays."""
    inner = text.strip()
    if not inner:
        return text
    pieces, start = end.split(inner), text.index(inner)
    pieces[::2] = change(pieces[::2])
    return f"{text[:start]}{''.join(pieces)}{text[start + len(inner) :]}"


def _with_text(prompt: Prompt, text: str) -> Prompt:
    return text if isinstance(prompt, str) else [*prompt[:-1], {**prompt[-1], "content": text}]


PERTURBATIONS: Mapping[str, Perturbation] = {
    "mask_local_shuffle": Perturbation((mask_words, shuffle_words), (mask_images, shuffled_in_windows)),
    "mask": Perturbation((mask_words,), (mask_images,)),
    "global_shuffle": Perturbation((shuffle_sentences,), (shuffled,)),
    "local_shuffle": Perturbation((shuffle_words,), (shuffled_in_windows,)),
    "blur": Perturbation(images=(blur_images,)),
    "none": Perturbation(),
}


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
    path: str, *, media: MediaSettings | None = None, **reading: Unpack[RowOptions]
) -> tuple[list[Source], DataReport]:
    """Loads rows to make pairs from.

    A row needs `prompt` (text, or messages that end with the user's) and `reference` (text). `id` (default: file name
    and row), `context`, `wrong_answers` or `options` (in the order of their letters), and one of `image`, `images` and
    `video` may be there. A judge sees every column.
    """
    reader = MediaReader(media_folder(find_split(path, reading.get("split"))[0]), media)

    def check(content: Row, raw: RawRow) -> Source:
        return check_source(content, raw.row, raw.name, reader.read(content))

    with reader.progress:
        return load_rows(path, check, Schema(("prompt", "reference")), **reading)


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
        letter=_check_letter(content.get("options"), reference, last_text(given.prompt)),
    )


def _check_text(content: Row, column: str, remedy: str) -> str:
    text = content.get(column)
    if not isinstance(text, str) or is_blank(text):
        raise BadRow(column, text, f"the {column} is missing, empty or not a text", remedy)
    return text.strip()


def _check_prompt(prompt: object) -> Prompt:
    checked = check_prompt(prompt)
    if isinstance(checked, str):
        return checked
    if checked[-1]["role"] != "user" or is_blank(last_text(checked)):
        remedy = "The model answers the last message: end with the user's."
        raise BadRow("prompt", checked[-1], "the last message is not a text of the user", remedy)
    return [{"role": message["role"], "content": message_text(message)} for message in checked]


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
