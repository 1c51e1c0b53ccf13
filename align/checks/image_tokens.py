"""How many tokens a model's processor makes of an image, told from its size."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

MAX_RATIO = 200  # of the sides of an image; transformers stops at more (Qwen2-VL, `smart_resize`)
# transformers, `Qwen2VLImageProcessor`
QWEN_SIDES = {"patch_size": 14, "merge_size": 2}
QWEN_PIXELS = {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280}

CountTokens = Callable[[int, int], int]  # of the width and height of an image in pixels


@dataclass(frozen=True)
class _QwenSizes:
    """What an image processor of the Qwen-VL family does to sizes."""

    patch: int
    merge: int
    min_pixels: int
    max_pixels: int

    def count(self, width: int, height: int) -> int:
        """Counts the tokens of an image, which is made a multiple of merged patches within the limits of pixels."""
        if max(width, height) > MAX_RATIO * min(width, height):
            raise ValueError(f"one side is more than {MAX_RATIO} times the other")
        factor = self.patch * self.merge
        sides = [round(side / factor) * factor for side in (height, width)]
        if math.prod(sides) > self.max_pixels:
            scale = math.sqrt(height * width / self.max_pixels)
            sides = [max(factor, math.floor(side / scale / factor) * factor) for side in (height, width)]
        elif math.prod(sides) < self.min_pixels:
            scale = math.sqrt(self.min_pixels / (height * width))
            sides = [math.ceil(side * scale / factor) * factor for side in (height, width)]
        return math.prod(side // factor for side in sides)


def image_processor_settings(folder: Path) -> dict[str, Any] | None:
    """Reads the settings of a model's image processor, None if its folder has none."""
    if (file := folder / "processor_config.json").is_file():
        nested: dict[str, Any] | None = json.loads(file.read_text(encoding="utf-8")).get("image_processor")
        if nested is not None:
            return nested
    if (file := folder / "preprocessor_config.json").is_file():
        settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return settings
    return None


def token_counter(folder: Path) -> CountTokens:
    """Returns what counts the tokens of an image: from the settings for the Qwen-VL family, else by the processor.

    The processor is loaded without its model, and is given sizes, not images; importing it takes seconds.

    Raises:
        ValueError: If the processor cannot be loaded, or cannot tell. What is returned raises it for an image that the
            processor would refuse.
    """
    settings = image_processor_settings(folder) or {}
    if str(settings.get("image_processor_type", "")).startswith("Qwen2VL"):
        return cache(_qwen_sizes(settings).count)
    return cache(_ask_processor(folder))


def _qwen_sizes(settings: dict[str, Any]) -> _QwenSizes:
    size = QWEN_PIXELS | (settings.get("size") or {})
    sides = QWEN_SIDES | {key: settings[key] for key in QWEN_SIDES if settings.get(key)}
    least, most = settings.get("min_pixels"), settings.get("max_pixels")
    return _QwenSizes(
        sides["patch_size"], sides["merge_size"], least or size["shortest_edge"], most or size["longest_edge"]
    )


def _ask_processor(folder: Path) -> CountTokens:
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(str(folder))
        processor._get_num_multimodal_tokens(image_sizes=[(56, 56)])
    except Exception as error:  # processors of any family, also those of other people
        raise ValueError(f"its processor does not tell ({type(error).__name__}: {error})") from error

    def count(width: int, height: int) -> int:
        return int(processor._get_num_multimodal_tokens(image_sizes=[(height, width)]).num_image_tokens[0])

    return count
