"""Makes the images of an input harder to read; several count as the frames of a video."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from align.methods.rrpo.augmentation.drawing import draw_masked
from align.models.samplers.input_images import InputImage

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

Images = Sequence[InputImage]
ImageStep = Callable[[Images, random.Random], list[InputImage]]
GRID = 8  # patches a side of a single image
BLUR = 0.05  # radius (standard deviation) as a share of the shorter side


@dataclass(frozen=True)
class Mask:
    """Blacks out cells of a grid; one of one cell blacks out everything.

    Attributes:
        grid: Cells a side.
        cells: Which ones, row by row.
    """

    grid: int = 1
    cells: tuple[int, ...] = (0,)

    def __call__(self, image: "PILImage") -> "PILImage":
        """Returns another image of the same size and mode."""
        masked, (width, height), grid = image.copy(), image.size, self.grid
        for row, column in (divmod(cell, grid) for cell in self.cells):
            left, right = (edge * width // grid for edge in (column, column + 1))
            top, bottom = (edge * height // grid for edge in (row, row + 1))
            masked.paste(0, (left, top, right, bottom))
        return masked


@dataclass(frozen=True)
class Blur:
    """Blurs with a Gaussian.

    Attributes:
        radius: As a share of the shorter side.
    """

    radius: float = BLUR

    def __call__(self, image: "PILImage") -> "PILImage":
        """Returns another image of the same size and mode."""
        from PIL import ImageFilter

        return image.filter(ImageFilter.GaussianBlur(self.radius * min(image.size)))


def mask_images(images: Images, rng: random.Random) -> list[InputImage]:
    """Blacks out 25 to 50 % of the frames, or of the patches of a single image."""
    if len(images) == 1:
        return [replace(images[0], edit=Mask(GRID, tuple(sorted(draw_masked(GRID * GRID, rng)))))]
    masked = set(draw_masked(len(images), rng))
    return [replace(image, edit=Mask()) if i in masked else image for i, image in enumerate(images)]


def blur_images(images: Images, rng: random.Random) -> list[InputImage]:
    """Blurs every image alike."""
    return [replace(image, edit=Blur()) for image in images]
