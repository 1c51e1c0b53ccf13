"""Small images built in-process, each with something to see."""

from dataclasses import dataclass

import numpy as np

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 70, 220), "yellow": (230, 210, 40)}


def square(colour="red", size=56, place=(8, 8), side=24):
    """Draws a coloured square on grey, as a PIL image."""
    from PIL import Image

    pixels = np.full((size, size, 3), 128, dtype=np.uint8)
    top, left = place
    pixels[top : top + side, left : left + side] = COLOURS[colour]
    return Image.fromarray(pixels)


@dataclass(frozen=True)
class Black:
    """Blacks out an image from its upper left corner to a share of its sides."""

    share: float = 1.0

    def __call__(self, image):
        black = image.copy()
        black.paste(0, (0, 0, int(image.width * self.share), int(image.height * self.share)))
        return black


def write_squares(folder, colours=tuple(COLOURS), suffix=".png"):
    """Writes one image per colour and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:02}-{colour}{suffix}" for i, colour in enumerate(colours)]
    for path, colour in zip(paths, colours, strict=True):
        square(colour).save(path)
    return [str(path) for path in paths]
