"""Makes the input of a model harder, so that it errs where it should not be rewarded for erring."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from align.models.samplers.input_images import InputImage
from align.models.samplers.sampler import Prompt, prompt_text

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
SENTENCE_END = re.compile(r"(?:(?<=[.!?])\s+|(?<=[。！？])\s*|\s*\n\s*)(?=\S)")  # noqa: RUF001 - Chinese punctuation


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
        return _with_text(self.prompt, f"{self.context}\n\n{prompt_text(self.prompt)}")


class Perturbation:
    """Perturbs the images, or else the context, or else the prompt's last message without the question it ends with.

    A question can be told apart if it is the last sentence and ends with `?`. It stays as it is.
    """

    def __init__(self, text: Sequence[TextStep] = (), images: Sequence[ImageStep] = ()) -> None:
        self._text, self._images = text, images

    def __call__(self, given: ModelInput, rng: random.Random) -> ModelInput:
        """Applies the steps in their order; an input that holds nothing to change stays. `rng` decides the rest."""
        if given.images:
            return replace(given, images=self._perturb_images(given.images, rng))
        if given.context is not None:
            return replace(given, context=self._perturb_text(given.context, rng))
        body, question = split_question(prompt_text(given.prompt))
        return replace(given, prompt=_with_text(given.prompt, self._perturb_text(body, rng) + question))

    def _perturb_text(self, text: str, rng: random.Random) -> str:
        for step in self._text:
            text = step(text, rng)
        return text

    def _perturb_images(self, images: Sequence[InputImage], rng: random.Random) -> tuple[InputImage, ...]:
        for step in self._images:
            images = step(images, rng)
        return tuple(images)


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
    words, gaps = _take_apart(text, re.compile(r"\s+"))
    for i in draw_masked(len(words), rng):
        words[i] = MASK
    return _put_together(words, gaps)


def shuffle_sentences(text: str, rng: random.Random) -> str:
    """Puts the sentences into another order (global shuffle)."""
    sentences, gaps = _take_apart(text, SENTENCE_END)
    return _put_together(shuffled(sentences, rng), gaps)


def shuffle_words(text: str, rng: random.Random) -> str:
    """Puts the words inside each window of four into another order (local shuffle)."""
    words, gaps = _take_apart(text, re.compile(r"\s+"))
    return _put_together(shuffled_in_windows(words, rng), gaps)


def _take_apart(text: str, gap: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """Returns the n parts of a stripped text and the n + 1 gaps before, between and after them."""
    inner = text.strip()
    if not inner:
        return [], [text]
    start = text.index(inner)
    places = [(0, 0), *(match.span() for match in gap.finditer(inner)), (len(inner), len(inner))]
    parts = [inner[left[1] : right[0]] for left, right in pairwise(places)]
    between = [inner[slice(*place)] for place in places[1:-1]]
    return parts, [text[:start], *between, text[start + len(inner) :]]


def _put_together(parts: list[str], gaps: list[str]) -> str:
    return gaps[0] + "".join(part + gap for part, gap in zip(parts, gaps[1:], strict=True))


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
