"""Images as rows hold them, and as models and reports need them."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.data.conversations import column_of_places, count_places, show_places
from align.errors import UserError
from align.whole_files import sha256_of
from rewards.extras import missing

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# A path, what `datasets` makes of an undecoded image ({"bytes": ..., "path": ...}), or a PIL image.
ImageLike = Any
SHOWN_WITH = ("PIL", "torchvision")  # what processors of the extra `vision` need to show a model an image
ORIENTATION = 0x0112  # the EXIF tag
VIDEO = "video_metadata"  # the column of rows whose images are the frames of a video
JPEG_END = b"\xff\xd9"
_GREY = (128, 128, 128)


def open_image(image: ImageLike) -> "PILImage":
    """Reads an image as RGB; raises `OSError` if it cannot be read."""
    require_pillow()
    from PIL import Image, ImageOps

    if isinstance(image, Image.Image):
        return image.convert("RGB")
    with Image.open(image_source(image)) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def shrink_image(image: "PILImage", max_pixels: int) -> "PILImage":
    """Makes an image with more than `max_pixels` smaller, in proportion; others stay as they are.

    Example:
        >>> from PIL import Image
        >>> shrink_image(Image.new("RGB", (400, 100)), max_pixels=10_000).size
        (200, 50)
    """
    width, height = image.size
    if width * height <= max_pixels:
        return image
    scale = math.sqrt(max_pixels / (width * height))
    return image.resize((max(1, int(width * scale)), max(1, int(height * scale))))


def grey_out(image: ImageLike) -> dict[str, Any]:
    """Makes a mid-grey image of the same size."""
    opened = open_image(image)
    opened.paste(_GREY, (0, 0, *opened.size))
    written = BytesIO()
    opened.save(written, "png")  # some kilobytes, where the pixels would be megabytes
    return {"bytes": written.getvalue(), "path": None}


def image_digest(image: ImageLike) -> str:
    """Names an image after its content, for cache keys."""
    if isinstance(image, str | Path):
        return sha256_of(Path(image))
    if isinstance(image, Mapping) and image.get("bytes") is not None:
        content = image["bytes"]
    else:
        opened = open_image(image)
        content = repr(opened.size).encode() + opened.tobytes()
    return hashlib.sha256(content).hexdigest()


def add_images(rows: Sequence[dict[str, Any]], items: Sequence[Any]) -> list[dict[str, Any]]:
    """Adds the column `images` to rows if any of their items has some, in one form, as a column of a table needs.

    Where images are the frames of a video, `video_metadata` says which; a column of all rows if it is one of any.
    Paths stay paths where all images are; else all of them become `{"bytes": ..., "path": ...}`. Prompts stay as they
    are where none has a place for an image; else the contents of all are parts, with a place for each image.
    """
    images = [item.images for item in items]
    if not any(images):
        return list(rows)
    if any(item.video for item in items):
        videos = [item.video and item.video._asdict() for item in items]
        rows = [row | {VIDEO: video} for row, video in zip(rows, videos, strict=True)]
    as_paths = all(isinstance(image, str) for shown in images for image in shown)
    columns = [[image if as_paths else _as_mapping(image) for image in shown] for shown in images]
    names = [column_of_places(row) for row in rows]
    if any(count_places(row.get(name, "")) for row, name in zip(rows, names, strict=True)):
        rows = [
            row | {name: show_places(row.get(name, ""), len(shown))}
            for row, name, shown in zip(rows, names, images, strict=True)
        ]
    return [row | {"images": shown} for row, shown in zip(rows, columns, strict=True)]


def image_size(image: ImageLike) -> tuple[int, int]:
    """Reads the width and height that an image has once it is upright, from its header, in pixels."""
    from PIL import Image

    if isinstance(image, Image.Image):
        return image.size
    with Image.open(image_source(image)) as opened:
        width, height = opened.size
        turned = opened.getexif().get(ORIENTATION, 1) >= 5  # width and height are swapped when it is decoded
        return (height, width) if turned else (width, height)


def image_source(image: ImageLike) -> Any:
    """Returns what Pillow opens: a path, or the bytes as a file."""
    if not isinstance(image, Mapping):
        return image
    return BytesIO(image["bytes"]) if image.get("bytes") is not None else image["path"]


def require_pillow() -> None:
    """Checks that images can be read."""
    if sentence := missing("vision", "Reading images", "PIL"):
        raise UserError(sentence)


class BrokenImageError(ValueError):
    """An image that cannot be read; the text says why."""


def check_image(image: ImageLike) -> tuple[int, int]:
    """Finds out whether all of an image is there, and returns its width and height in pixels, as they are stored.

    A PNG is read through its checksums and a JPEG at its end, both without decoding; a JPEG without an end and every
    other format is decoded. What this does not see is damage in the middle of a JPEG, which its decoder hides, too.
    Raises `BrokenImageError`.
    """
    require_pillow()
    from PIL import Image

    try:
        if isinstance(image, Image.Image):
            image.load()
            return image.size
        with Image.open(image_source(image)) as opened:
            if opened.format == "PNG":
                opened.verify()
            elif opened.format != "JPEG" or not _has_jpeg_end(image):
                opened.load()
            return opened.size
    except Exception as error:  # Pillow's readers raise many kinds on broken files
        raise BrokenImageError(str(error) or type(error).__name__) from error


def find_suffix(image: ImageLike) -> str:
    """Returns how the name of a file with an image ends, such as `.png`."""
    from PIL import Image

    with Image.open(image_source(image)) as opened:
        kind = (opened.format or "png").lower()
    return ".jpg" if kind in ("jpeg", "mpo") else f".{kind}"


def _as_mapping(image: ImageLike) -> dict[str, Any]:
    if isinstance(image, str):
        return {"bytes": None, "path": image}
    if isinstance(image, Mapping):
        return {"bytes": image.get("bytes"), "path": image.get("path")}
    content = BytesIO()
    image.save(content, format="PNG")
    return {"bytes": content.getvalue(), "path": None}


def _has_jpeg_end(image: ImageLike) -> bool:
    """Looks at the last bytes; cameras may pad the file with zeros."""
    source = image_source(image)
    with source if isinstance(source, BytesIO) else Path(source).open("rb") as file:
        file.seek(max(0, file.seek(0, SEEK_END) - 1024))
        return file.read().rstrip(b"\x00").endswith(JPEG_END)
