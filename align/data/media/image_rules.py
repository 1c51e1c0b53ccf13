"""Whether an image can be read, told without decoding it where its format allows."""

from collections.abc import Mapping
from pathlib import Path

from align.data.media.images import ImageLike, image_source, require_pillow

JPEG_END = b"\xff\xd9"


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


def _has_jpeg_end(image: ImageLike) -> bool:
    """Looks at the last bytes; cameras may pad the file with zeros."""
    if isinstance(image, Mapping) and image.get("bytes") is not None:
        tail = image["bytes"][-1024:]
    else:
        path = Path(image["path"] if isinstance(image, Mapping) else image)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 1024))
            tail = file.read()
    return bytes(tail).rstrip(b"\x00").endswith(JPEG_END)
