"""How many tokens images add to a prompt, found without decoding them."""

from typing import Any

from transformers import ProcessorMixin

from align.data.media.images import image_size


class ImageTokens:
    """Counts the tokens that a processor puts in place of an image, by the size of the image.

    A blank image of each size is processed once: every family has rules of its own for sizes and tiles.

    Args:
        processor: The processor of a vision-language model, with a chat template.
    """

    def __init__(self, processor: ProcessorMixin) -> None:
        self.processor: Any = processor
        self._counts: dict[tuple[int, int], int] = {}

    def count(self, image: Any) -> int:
        """Returns by how many tokens a prompt grows when its placeholder becomes this image.

        Args:
            image: A path, what `datasets` makes of an undecoded image, or a PIL image.

        Raises:
            OSError: If the image cannot be opened.
            ValueError: If the processor refuses images of this size.
        """
        size = image_size(image)
        if size not in self._counts:
            self._counts[size] = self._count(size)
        return self._counts[size]

    def _count(self, size: tuple[int, int]) -> int:
        from PIL import Image

        messages = [{"role": "user", "content": [{"type": "image"}]}]
        text = self.processor.apply_chat_template(messages, tokenize=False)
        blank = [[Image.new("RGB", size)]]
        with_image = self.processor(text=[text], images=blank, add_special_tokens=False)["input_ids"][0]
        return len(with_image) - len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])
