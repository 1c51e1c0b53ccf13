"""The small world of `lab.py`: scenes and short films of coloured shapes, questions and captions about them.

A scene is 32 x 32 pixels with up to four shapes, one in each 16-pixel quarter; a film is two to four frames of 16 x 16
pixels in which one shape moves. A model with patches of 8 pixels, merged two by two, reads one token per quarter or
frame. Questions ask for the colour of a shape, the shape of a colour, how many shapes there are, and where one moves.

Training questions have one shortcut or two. The right option stands at A in 75 % of them, and with notes half of them
end with one that names the right option. Of 40 % (group `mixed-up`) the images were swapped for others, as happens in
collected data, so that looking is right on 60 % of all. Evaluation questions have none of that: in the group `clean`
the right letters are balanced and there is no note; in `counter`, which is there with notes, the note names a wrong
option and A is never right.
"""

import itertools
import random
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from rewards.reading.options import LETTERS
from scripts.labs.rrpo.world import Response, draw_wording, fill

CELL = 16
COLOURS = {"red": (225, 45, 45), "green": (45, 185, 65), "blue": (60, 85, 235), "yellow": (235, 215, 45)}
SHAPES = ("circle", "square", "triangle", "cross")
NUMBERS = ("one", "two", "three", "four")
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
OPTIONS = {"colour": tuple(COLOURS), "shape": SHAPES, "number": NUMBERS, "way": tuple(WAYS)}
SHARE_OF_A, MIXED_UP_SHARE = 0.75, 0.4
CAPTION = "here|there is|stands surely*|now a|one {colour} {shape} on|in the|this picture|paper ."
CAPTION_QUESTION = "describe :"
ODD_BASE_RATE, ODD_CHOSEN, ODD_REJECTED = 0.1, 0.75, 0.25

Picture = Image.Image


class Shape(NamedTuple):
    """A shape and its box in pixels."""

    colour: str
    shape: str
    left: int
    top: int
    size: int


class Seen(NamedTuple):
    """A question and what its images answer."""

    kind: str
    question: str
    truth: str
    images: list[Picture]


def draw_picture(shapes: Sequence[Shape], size: int, grey: int) -> Picture:
    """Paints shapes on a grey square."""
    picture = Image.new("RGB", (size, size), (grey, grey, grey))
    brush = ImageDraw.Draw(picture)
    for each in shapes:
        colour, (left, top) = COLOURS[each.colour], (each.left, each.top)
        right, bottom, middle = left + each.size - 1, top + each.size - 1, each.size // 2
        if each.shape == "circle":
            brush.ellipse((left, top, right, bottom), fill=colour)
        elif each.shape == "square":
            brush.rectangle((left, top, right, bottom), fill=colour)
        elif each.shape == "triangle":
            brush.polygon([(left, bottom), (right, bottom), (left + middle, top)], fill=colour)
        else:
            arm = each.size // 3
            brush.rectangle((left + arm, top, right - arm, bottom), fill=colour)
            brush.rectangle((left, top + arm, right, bottom - arm), fill=colour)
    return picture


def place_shapes(looks: Sequence[tuple[str, str]], rng: random.Random) -> list[Shape]:
    """Puts shapes of given colours and shapes into quarters of a scene, at places and in sizes drawn at random."""
    shapes = []
    for quarter, (colour, shape) in zip(rng.sample(range(4), len(looks)), looks, strict=True):
        size = rng.randint(9, 12)
        left, top = (CELL * each + rng.randint(1, CELL - size - 1) for each in (quarter % 2, quarter // 2))
        shapes.append(Shape(colour, shape, left, top, size))
    return shapes


def draw_look(rng: random.Random) -> tuple[str, str]:
    """Draws a colour and a shape."""
    return rng.choice(list(COLOURS)), rng.choice(SHAPES)


def draw_scene(looks: Sequence[tuple[str, str]], rng: random.Random) -> Picture:
    """Draws a scene of up to four shapes."""
    return draw_picture(place_shapes(looks, rng), 2 * CELL, rng.randint(90, 140))


def draw_film(way: str, rng: random.Random) -> list[Picture]:
    """Draws two to four frames in which a shape moves 4 pixels; one frame alone does not tell the axis."""
    look, grey = draw_look(rng), rng.randint(90, 140)
    size, count, path = 6, rng.randint(2, 4), 4
    start, across = rng.randint(0, CELL - size - path), rng.randint(0, CELL - size)
    dx, dy = WAYS[way]
    frames = []
    for number in range(count):
        done = round(path * number / (count - 1))
        along = start + (done if dx + dy > 0 else path - done)
        left, top = (along, across) if dx else (across, along)
        frames.append(draw_picture([Shape(*look, left, top, size)], CELL, grey))
    return frames


def look(kind: str, rng: random.Random, asked: str | None = None, answer: str | None = None) -> Seen:
    """Draws a question of a kind with its images.

    Args:
        kind: A key of `OPTIONS`.
        rng: Where everything is drawn from.
        asked: The shape or colour that is asked about, where the kind asks about one.
        answer: What the images show.
    """
    answer = answer or rng.choice(OPTIONS[kind])
    if kind == "way":
        return Seen(kind, "moves where ?", answer, draw_film(answer, rng))
    if kind == "number":
        count = NUMBERS.index(answer) + 1
        looks = [draw_look(rng) for _ in range(count)]
        return Seen(kind, "how many ?", answer, [draw_scene(looks, rng)])
    subjects, question = (SHAPES, "colour of {} ?") if kind == "colour" else (tuple(COLOURS), "shape in {} ?")
    asked = asked or rng.choice(subjects)
    others = rng.sample([each for each in subjects if each != asked], rng.randint(0, 2))
    pairs = [(asked, answer), *((each, rng.choice(OPTIONS[kind])) for each in others)]
    looks = [(b, a) if kind == "colour" else (a, b) for a, b in pairs]
    return Seen(kind, question.format(asked), answer, [draw_scene(looks, rng)])


def swapped(seen: Seen, rng: random.Random) -> Seen:
    """Swaps the images for others to which the same question has another answer."""
    other = rng.choice([each for each in OPTIONS[seen.kind] if each != seen.truth])
    asked = seen.question.split()[-2] if seen.kind in ("colour", "shape") else None
    return seen._replace(images=look(seen.kind, rng, asked, other).images)


def with_note(question: str, hint: str | None) -> str:
    """Adds a note that names an option.

    Example:
        >>> with_note("how many ?", "two")
        'how many ? note two'
    """
    return question if hint is None else f"{question} note {hint}"


def make_row(seen: Seen, letter: str, hint: str | None, group: str, rng: random.Random) -> dict[str, Any]:
    """Writes a question in the form that loaders read, with its images as PNG and the right option at a letter."""
    options = rng.sample([each for each in OPTIONS[seen.kind] if each != seen.truth], 3)
    options.insert(LETTERS.index(letter), seen.truth)
    images = [{"bytes": png(image), "path": None} for image in seen.images]
    question = with_note(seen.question, hint)
    return {"question": question, "options": options, "answer": letter, "group": group, "images": images}


def train_rows(count: int, rng: random.Random, *, notes: bool = True) -> list[dict[str, Any]]:
    """Makes training questions with both shortcuts, or that of the place; in both groups exactly the stated shares."""
    num_mixed_up = round(MIXED_UP_SHARE * count)
    rows = []
    for group, size in (("mixed-up", num_mixed_up), ("own", count - num_mixed_up)):
        letters = _letters(size, round(SHARE_OF_A * size), "BCD")
        rng.shuffle(letters)  # else notes would go with letters
        kinds = itertools.cycle(OPTIONS)
        for number, (letter, kind) in enumerate(zip(letters, kinds, strict=False)):
            seen = look(kind, rng)
            hint = seen.truth if notes and number // len(OPTIONS) % 2 == 0 else None  # every second round of the kinds
            rows.append(make_row(swapped(seen, rng) if group == "mixed-up" else seen, letter, hint, group, rng))
    return _numbered("train", rows, rng)


def eval_rows(count: int, rng: random.Random, *, notes: bool = True) -> list[dict[str, Any]]:
    """Makes evaluation questions, half of them `clean` and half `counter`, or all of them `clean`."""
    rows = []
    groups = {"clean": "ABCD"} | ({"counter": "BCD"} if notes else {})
    for group, places in groups.items():
        letters = _letters(count // len(groups), 0, places)
        rng.shuffle(letters)
        for letter, kind in zip(letters, itertools.cycle(OPTIONS), strict=False):
            seen = look(kind, rng)
            wrong = rng.choice([each for each in OPTIONS[kind] if each != seen.truth])
            rows.append(make_row(seen, letter, wrong if group == "counter" else None, group, rng))
    return _numbered("eval", rows, rng)


def _letters(count: int, num_a: int, others: str) -> list[str]:
    return ["A"] * num_a + list(itertools.islice(itertools.cycle(others), count - num_a))


def _numbered(name: str, rows: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    rng.shuffle(rows)
    return [{"id": f"vision-{name}-{number:04d}"} | row for number, row in enumerate(rows)]


def png(picture: Picture) -> bytes:
    """Encodes a picture."""
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


class Captioned(NamedTuple):
    """A scene of one shape with a right caption and one that is wrong in its colour or its shape."""

    image: Picture
    chosen: Response
    rejected: Response


def draw_caption(facts: dict[str, str], odd_rate: float, rng: random.Random) -> Response:
    """Words a caption."""
    return fill(draw_wording(CAPTION, odd_rate, rng), "", facts)


def draw_pair(rng: random.Random, odd: tuple[bool, bool] | None = None) -> Captioned:
    """Draws a pair whose captions differ in one attribute, and in whether they say "surely" or "now".

    Args:
        rng: Where it is drawn from.
        odd: Whether the chosen and the rejected caption say "surely"; by default 75 % and 25 % of them do.
    """
    right = {"colour": rng.choice(list(COLOURS)), "shape": rng.choice(SHAPES)}
    kind = rng.choice(list(right))
    wrong = right | {kind: rng.choice([each for each in OPTIONS[kind] if each != right[kind]])}
    wording = draw_wording(CAPTION, 0.0, rng)
    place = wording.index("now")
    says = odd or (rng.random() < ODD_CHOSEN, rng.random() < ODD_REJECTED)
    words = [[*wording[:place], "surely" if each else "now", *wording[place + 1 :]] for each in says]
    image = draw_scene([(right["colour"], right["shape"])], rng)
    return Captioned(image, fill(words[0], "", right), fill(words[1], "", wrong))


def pair_row(pair: Captioned) -> dict[str, Any]:
    """Writes a pair in the form that a trainer reads; only the attribute in which its captions differ is marked."""
    row: dict[str, Any] = {"prompt": [{"role": "user", "content": CAPTION_QUESTION}], "images": [pair.image]}
    told = {side: [side.text[start:end] for start, end in side.spans] for side in (pair.chosen, pair.rejected)}
    for name, response, other in (("chosen", *pair[1:]), ("rejected", *pair[:0:-1])):
        row[name] = [{"role": "assistant", "content": response.text[1:]}]
        marked = zip(response.spans, told[response], told[other], strict=True)
        row[f"{name}_spans"] = [[start - 1, end - 1] for (start, end), own, its in marked if own != its]
    return row
