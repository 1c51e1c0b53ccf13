"""What a run keeps of its rows for its page: right answers, small copies of images, and a sample of pairs."""

import hashlib
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """Writes an even sample of pairs to `pairs.parquet`, the first one included, and small copies of their images.

    A row that lacks a column, or holds something unexpected in it, gets an empty value there: a sample for reading is
    no reason to stop a run.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    schema = pa.schema(
        {
            "id": pa.string(),
            "prompt": pa.string(),
            "chosen": pa.string(),
            "rejected": pa.string(),
            "chosen_spans": pa.list_(pa.list_(pa.int64())),
            "rejected_spans": pa.list_(pa.list_(pa.int64())),
            "spans_from": pa.string(),
            "marked_share": pa.float64(),
            "source": pa.string(),
            "attribute": pa.string(),
            "tie": pa.bool_(),
            "images": pa.list_(pa.string()),
        }
    )
    media = MediaFolder(folder)
    sample = [rows[place] for place in spread_places(len(rows), limit)]
    kept = [_plain(row) | {"images": _images(row.get("images"), media)} for row in sample]
    table = pa.Table.from_pylist(kept, schema=schema)
    with whole_file(folder / PAIRS_FILE) as draft:
        parquet.write_table(table, draft)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    chosen, rejected = _response(row.get("chosen")), _response(row.get("rejected"))
    share, tie = row.get("marked_share"), row.get("tie")
    return {
        "id": _name(row.get("id")),
        "prompt": _prompt(row.get("prompt")),
        "chosen": chosen,
        "rejected": rejected,
        "chosen_spans": _spans(row.get("chosen_spans"), chosen),
        "rejected_spans": _spans(row.get("rejected_spans"), rejected),
        "spans_from": _name(row.get("spans_from")),
        "marked_share": float(share) if isinstance(share, int | float) else None,
        "source": _name(row.get("source")),
        "attribute": _name(row.get("attribute")),
        "tie": tie if isinstance(tie, bool) else None,
    }


def _images(images: Any, media: MediaFolder) -> list[str | None] | None:
    """Keeps small copies and names each by its file; what is not shown or not readable, by its name in the data."""
    if not isinstance(images, list | tuple):
        return None
    copies = zip(images, thumbnails(images), strict=True)
    paths = [(image.get("path") if isinstance(image, Mapping) else image, copy) for image, copy in copies]
    names = [(_name(path) if isinstance(path, str | Path) else None, copy) for path, copy in paths]
    return [name if copy is None else media.keep(copy) for name, copy in names]


def _name(value: Any) -> str | None:
    return None if value is None else _encodable(str(value))


def _prompt(value: Any) -> str:
    """Writes messages as paragraphs that begin with the role."""
    if isinstance(value, list | tuple):
        return _encodable("\n\n".join(_message(message) for message in value))
    return "" if value is None else _encodable(str(value))


def _message(message: Any) -> str:
    if not isinstance(message, Mapping):
        return str(message)
    return f"{message.get('role', '')}: {_content(message.get('content'))}"


def _response(value: Any) -> str:
    """Returns the bare text, to which the spans' offsets refer."""
    if isinstance(value, list | tuple) and value and isinstance(value[-1], Mapping):
        value = _content(value[-1].get("content"))
    return "" if value is None else _encodable(str(value))


def _content(content: Any) -> str:
    """Returns the text of a message; parts that are no text are named."""
    if isinstance(content, list | tuple):
        parts = ((p.get("text") or f"[{p.get('type')}]") if isinstance(p, Mapping) else p for p in content)
        return " ".join(map(str, parts))
    return "" if content is None else str(content)


def _spans(value: Any, text: str) -> list[list[int]]:
    """Keeps what is a stretch of the text."""
    spans = value if isinstance(value, list | tuple) else []
    return [list(span) for span in spans if _is_span(span) and 0 <= span[0] < span[1] <= len(text)]


def _is_span(span: Any) -> bool:
    return isinstance(span, list | tuple) and len(span) == 2 and all(isinstance(offset, int) for offset in span)


def _encodable(text: str) -> str:
    """Replaces lone surrogates, one character by one, so that offsets still hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
