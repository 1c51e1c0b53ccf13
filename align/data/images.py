"""Images as rows hold them, and as models and reports need them."""

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

# A path, what `datasets` makes of an undecoded image ({"bytes": ..., "path": ...}), or a PIL image.
ImageLike = Any


def open_image(image: ImageLike) -> "PILImage":
    """Reads an image as RGB.

    Raises:
        UserError: If the extra `vision` is missing.
        OSError: If the image cannot be read.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise UserError("Images need the extra `vision`. Run: pip install 'truealign[vision]'") from error
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    with Image.open(_source(image)) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def image_digest(image: ImageLike) -> str:
    """Names an image after its content, for cache keys."""
    if isinstance(image, str | Path):
        content = Path(image).read_bytes()
    elif isinstance(image, Mapping) and image.get("bytes") is not None:
        content = image["bytes"]
    else:
        opened = open_image(image)
        content = repr(opened.size).encode() + opened.tobytes()
    return hashlib.sha256(content).hexdigest()


def _source(image: ImageLike) -> Any:
    if not isinstance(image, Mapping):
        return image
    return BytesIO(image["bytes"]) if image.get("bytes") is not None else image["path"]
