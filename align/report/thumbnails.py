"""Images of a row as a page shows them: small, inside the page, and not too many."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from align.data.media.thumbnails import spread_places, thumbnail
from align.errors import UserError

PAGE_BYTES = 3_000_000  # of all images of a page, as text
_LONGEST_NAME = 60
_STORED = "media"  # where a training run keeps small copies, which need no Pillow to be shown
_JPEG = b"\xff\xd8\xff"


class Picture(NamedTuple):
    """One image."""

    source: str  # its content as an address, empty if it cannot be shown
    words: str  # which image it is, and why it cannot be shown


class Filmstrip(NamedTuple):
    """The images of one row, and what is said about those that are not shown."""

    pictures: Sequence[Picture] = ()
    left_out: str = ""


class Thumbnails:
    """Reads the images of rows for one page, until they take what is allowed: `room` bytes."""

    def __init__(self, folder: Path, room: int = PAGE_BYTES) -> None:
        self.folder = folder
        self.room = self.left = room
        self._read: dict[str, Picture] = {}

    def strip(self, images: Any) -> Filmstrip:
        """Shows some images of a row, spread evenly.

        They are paths, or what `datasets` makes of undecoded images; None for images of which nothing was kept. A file
        that is missing or no image leaves its name.
        """
        if not isinstance(images, list | tuple) or not images:
            return Filmstrip()
        places = [place for place in spread_places(len(images)) if images[place] is not None]
        pictures, refused = [], 0
        for place in places:
            found = self._picture(images[place])
            if len(found.source) > self.left:
                refused += 1
                continue
            self.left -= len(found.source)
            pictures.append(found._replace(words=f"image {place + 1} of {len(images)}{found.words}"))
        return Filmstrip(pictures, self._left_out(len(images), len(pictures), refused))

    def _left_out(self, count: int, shown: int, refused: int) -> str:
        if refused:
            limit = f"a page holds at most {self.room / 1e6:.2g} MB of images"
            return f"{count - shown} of {count} images left out: {limit}"
        if count > shown:
            return (
                f"+{count - shown} more" if shown else f"{count} image{'s' * (count > 1)}, of which nothing was kept"
            )
        return ""

    def _picture(self, image: Any) -> Picture:
        """Reads an image once, whether it can be shown or not."""
        if not isinstance(image, str):
            return self._make(image)
        if image not in self._read:
            self._read[image] = self._make(image)
        return self._read[image]

    def _make(self, image: Any) -> Picture:
        name = _name(image)
        words = f": {name}" if name else ""
        try:
            content = self._content(image)
        except FileNotFoundError:
            return Picture("", f"{words} is missing" if words else " is missing")
        except UserError:
            return Picture("", f"{words} is not shown without the extra `vision`")
        except Exception:  # Pillow raises many kinds, and one image is no reason to have no page
            return Picture("", f"{words} cannot be read")
        return Picture(f"data:image/jpeg;base64,{base64.b64encode(content).decode()}", words)

    def _content(self, image: Any) -> bytes:
        if not isinstance(image, str):
            return thumbnail(image)
        path = self.folder / image
        if path.parent == self.folder / _STORED:
            content = path.read_bytes()
            if not content.startswith(_JPEG):
                raise ValueError("no JPEG")
            return content
        return thumbnail(path if path.exists() else image)


def _name(image: Any) -> str:
    """Names an image as its file, but for small copies, which are named after their content."""
    path = image.get("path") if isinstance(image, Mapping) else image
    if not isinstance(path, str) or not path or path.startswith(f"{_STORED}/"):
        return ""
    name = Path(path).name
    return name if len(name) <= _LONGEST_NAME else f"…{name[-_LONGEST_NAME:]}"
