"""Small images built in-process, each with something to see."""

import numpy as np

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 70, 220), "yellow": (230, 210, 40)}


def square(colour="red", size=56, place=(8, 8), side=24):
    """Draws a coloured square on grey, as a PIL image."""
    from PIL import Image

    pixels = np.full((size, size, 3), 128, dtype=np.uint8)
    top, left = place
    pixels[top : top + side, left : left + side] = COLOURS[colour]
    return Image.fromarray(pixels)


def write_squares(folder, colours=tuple(COLOURS), suffix=".png"):
    """Writes one image per colour and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:02}-{colour}{suffix}" for i, colour in enumerate(colours)]
    for path, colour in zip(paths, colours, strict=True):
        square(colour).save(path)
    return [str(path) for path in paths]
