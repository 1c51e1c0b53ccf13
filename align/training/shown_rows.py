"""What a run keeps of its rows for its page: right answers, small copies of images, and a sample of pairs."""

import hashlib
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.data.conversations import last_text, message_text
from align.data.media.rows import listed_images
from align.data.media.thumbnails import spread_places, thumbnails
from align.whole_files import whole_file, write_whole
from rewards.reading.options import LETTERS

MEDIA_FOLDER = "media"
_MOST_FILES = 20_000  # about 100 MB
PAIRS_FILE = "pairs.parquet"
GOLD_COLUMN = "gold"
# What data sets call it; TRL's own reward reads `solution`.
_NAMES = (GOLD_COLUMN, "answer", "solution", "ground_truth", "reference")
IMAGES_COLUMN = "images"


class MediaFolder:
    """The folder `media` of a run, in which equal images are one file, and at most so many of all parts of the run."""

    def __init__(self, run: Path, most: int = _MOST_FILES) -> None:
        self.folder = run / MEDIA_FOLDER
        self.most = most
        self._known = {path.name for path in self.folder.glob("*.jpg")}

    def keep(self, content: bytes) -> str | None:
        """Writes a JPEG unless it is there; returns its path in the run folder, None if the folder is full."""
        name = f"{hashlib.sha256(content).hexdigest()[:24]}.jpg"
        if name not in self._known:
            if len(self._known) >= self.most:
                warnings.warn(
                    f"{self.folder} holds {self.most:,} images; the report shows no others. Training goes on.",
                    stacklevel=2,
                )
                return None
            write_whole(self.folder / name, content)
            self._known.add(name)
        return f"{MEDIA_FOLDER}/{name}"


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
    """Makes small copies of images, None where a report leaves them out; rows with the same `id` share them."""
    made: dict[Any, list[bytes | None]] = {}
    found = []
    for place, row in enumerate(rows):
        key = row.get("id", place)
        if key not in made:
            made[key] = thumbnails(listed_images(row))
        found.append(made[key])
    return found


def write_copies(column: "deque[Any]", media: MediaFolder) -> None:
    """Puts the paths of files in the place of the copies of a column, and leaves paths from earlier as they are."""
    for place, copies in enumerate(column):
        column[place] = [media.keep(copy) if isinstance(copy, bytes) else copy for copy in copies or ()]


def write_pairs(folder: Path, rows: Sequence[Mapping[str, Any]], limit: int = 40) -> None:
    """Writes an even sample of checked pairs to `pairs.parquet`, the first included, and small copies of their images.

    A column that a row lacks is empty there.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    schema = pa.schema(
        {
            **dict.fromkeys(("id", "prompt", "chosen", "rejected"), pa.string()),
            **dict.fromkeys(("chosen_spans", "rejected_spans"), pa.list_(pa.list_(pa.int64()))),
            "spans_from": pa.string(),
            "marked_share": pa.float64(),
            **dict.fromkeys(("source", "attribute"), pa.string()),
            "tie": pa.bool_(),
            "images": pa.list_(pa.string()),
        }
    )
    media = MediaFolder(folder)
    kept = [_in_texts(rows[place], media) for place in spread_places(len(rows), limit)]
    table = pa.Table.from_pylist(kept, schema=schema)
    with whole_file(folder / PAIRS_FILE) as draft:
        parquet.write_table(table, draft)


def _in_texts(row: Mapping[str, Any], media: MediaFolder) -> dict[str, Any]:
    """Writes messages as paragraphs that begin with the role, and a response as the bare text that spans refer to."""
    prompt, found = row["prompt"], dict(row)
    if not isinstance(prompt, str):
        found["prompt"] = "\n\n".join(f"{message['role']}: {message_text(message)}" for message in prompt)
    for side in ("chosen", "rejected"):
        text = found[side] = last_text(row[side])
        found[f"{side}_spans"] = [span for span in row.get(f"{side}_spans") or () if span[1] <= len(text)]
    return found | {"images": None if row.get("images") is None else _images(row["images"], media)}


def _images(images: Sequence[Any], media: MediaFolder) -> list[str | None]:
    """Keeps small copies and names each by its file; what is not shown or not readable, by its name in the data."""
    copies = zip(images, thumbnails(images), strict=True)
    paths = [(image.get("path") if isinstance(image, Mapping) else image, copy) for image, copy in copies]
    names = [(str(path) if isinstance(path, str | Path) else None, copy) for path, copy in paths]
    return [name if copy is None else media.keep(copy) for name, copy in names]
