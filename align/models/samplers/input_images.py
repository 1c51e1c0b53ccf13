"""Images as a model is shown them: named by what they are and what is done to them, and read only when needed."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

from align.data.media.images import ImageLike, image_digest, open_image

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

MOST_PIXELS = 1024 * 1024  # of an image that is sent; a larger one is made smaller


@dataclass(frozen=True)
class InputImage:
    """An image, and an edit of it that a model sees instead: of the same size, told from others by its `repr`."""

    source: ImageLike
    edit: "Callable[[PILImage], PILImage] | None" = None

    def open(self) -> "PILImage":
        """Reads the image and edits it; raises `OSError` if it cannot be read."""
        image = open_image(self.source)
        return image if self.edit is None else self.edit(image)

    @cached_property
    def digest(self) -> str:
        """Names what the model sees, for cache keys."""
        digest = image_digest(self.source)
        return digest if self.edit is None else hashlib.sha256(f"{digest}/{self.edit!r}".encode()).hexdigest()


def data_url(image: InputImage) -> str:
    """Writes an image into a URL, as a JPEG of at most `MOST_PIXELS` pixels; raises `OSError` if it cannot be read."""
    opened = image.open()
    shrink = (MOST_PIXELS / (opened.width * opened.height)) ** 0.5
    if shrink < 1:
        opened.thumbnail((int(opened.width * shrink) or 1, int(opened.height * shrink) or 1))
    content = BytesIO()
    opened.save(content, "JPEG", quality=95, subsampling=0)  # thin lines and letters stay sharp
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
