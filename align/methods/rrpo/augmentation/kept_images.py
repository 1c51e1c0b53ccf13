"""Paths that pairs name their images by: an image from a file keeps its path, any other is written into a folder."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from align.data.media.images import ImageLike, image_digest, open_image
from align.whole_files import write_whole


def keep_image(image: ImageLike, folder: Path) -> str:
    """Returns the absolute path of an image.

    Args:
        image: A path, `{"bytes": ..., "path": ...}` or a PIL image.
        folder: Where to write one that is not in a file; it is named after its content, so twice is once.
    """
    if isinstance(image, str | Path):
        return str(Path(image).absolute())
    if isinstance(image, Mapping) and image.get("bytes") is None:
        return str(Path(image["path"]).absolute())
    content, suffix = _encode(image)
    path = folder.absolute() / f"{image_digest(image)}{suffix}"
    if not path.exists():
        write_whole(path, content)
    return str(path)


def _encode(image: ImageLike) -> tuple[bytes, str]:
    """Returns the bytes of a file and its suffix; a file that is held in bytes stays as it is."""
    from PIL import Image

    if isinstance(image, Mapping):
        with Image.open(BytesIO(image["bytes"])) as opened:
            return image["bytes"], f".{(opened.format or 'png').lower()}"
    content = BytesIO()
    open_image(image).save(content, "PNG")
    return content.getvalue(), ".png"
