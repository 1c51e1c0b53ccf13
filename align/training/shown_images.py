"""Small copies of the images of a batch, for the table of completions."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from align.data.media.thumbnails import thumbnails
from align.training.media import MediaFolder

IMAGES_COLUMN = "images"


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
