"""Tables of completions: the right answers and the images in them."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from align.data.media.thumbnails import thumbnails
from align.training.media import MediaFolder
from rewards.reading.options import LETTERS

GOLD_COLUMN = "gold"
# What data sets call it; TRL's own reward reads `solution`.
_NAMES = (GOLD_COLUMN, "answer", "solution", "ground_truth", "reference")
IMAGES_COLUMN = "images"


def right_answers(rows: Sequence[Mapping[str, Any]]) -> list[str | None] | None:
    """Returns the right answer of every row, in words; None if the rows have none.

    Example:
        >>> right_answers([{"prompt": "1 + 1", "answer": 2}, {"prompt": "?", "answer": None}])
        ['2', None]
        >>> right_answers([{"options": ["tin", "iron"], "answer": 1}])
        ['B. iron']
    """
    name = next((name for name in _NAMES if rows and name in rows[0]), None)
    return None if name is None else [_in_words(row.get(name), row.get("options")) for row in rows]


def _in_words(answer: Any, options: Any) -> str | None:
    if answer is None:
        return None
    if isinstance(answer, int) and isinstance(options, Sequence) and 0 <= answer < len(options):
        return f"{LETTERS[answer]}. {options[answer]}" if answer < len(LETTERS) else str(options[answer])
    return str(answer)


def has_images(row: Mapping[str, Any]) -> bool:
    """Says whether the rows of a data set have a column of images; a single row may have none in it."""
    return "images" in row or "image" in row


def small_copies(rows: Sequence[Mapping[str, Any]]) -> list[list[bytes | None]]:
    """Makes small copies of the images of every row; rows with the same `id` share them.

    Returns:
        For each row one entry per image, None for images that a report leaves out.
    """
    made: dict[Any, list[bytes | None]] = {}
    found = []
    for place, row in enumerate(rows):
        key = row.get("id", place)
        if key not in made:
            made[key] = thumbnails(row.get("images") or [image for image in [row.get("image")] if image is not None])
        found.append(made[key])
    return found


def write_copies(column: "deque[Any]", media: MediaFolder) -> None:
    """Puts the paths of files in the place of the copies of a column, and leaves paths from earlier as they are."""
    for place, copies in enumerate(column):
        column[place] = [media.keep(copy) if isinstance(copy, bytes) else copy for copy in copies or ()]
