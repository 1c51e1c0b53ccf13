from collections.abc import Sequence
from io import BytesIO

from align.data.media.images import ImageLike, open_image

SIDE = 160  # pixels of the longer side
MOST_SHOWN = 8  # images of one row; the frames of a video are more
_QUALITY = 70  # a photograph of this size takes about 6 KB


def thumbnail(image: ImageLike) -> bytes:
    """Makes a JPEG that is at most `SIDE` pixels wide and high; a smaller image keeps its size."""
    small, file = open_image(image), BytesIO()
    small.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    small.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()


def spread_places(count: int, most: int = MOST_SHOWN) -> list[int]:
    """Picks places at even distances, the first and the last among them.

    Example:
        >>> spread_places(16, 4), spread_places(3, 8), spread_places(5, 1)
        ([0, 5, 10, 15], [0, 1, 2], [0])
    """
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)] if most > 1 else [0]


def thumbnails(images: Sequence[ImageLike]) -> list[bytes | None]:
    """Makes small copies of some images of a row, spread evenly; None for the others and for what cannot be read."""
    places = set(spread_places(len(images)))
    return [_thumbnail_or_none(image) if place in places else None for place, image in enumerate(images)]


def _thumbnail_or_none(image: ImageLike) -> bytes | None:
    try:
        return thumbnail(image)
    except Exception:  # Pillow raises many kinds, and a picture for reading is no reason to stop a run
        return None
