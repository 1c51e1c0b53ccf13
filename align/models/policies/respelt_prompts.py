"""Prompts that differ behind their images only: the images are processed once."""

from typing import NamedTuple

from torch.nn.functional import pad

from align.models.second_pass.forward import SecondPassRow


class ProcessedPrompt(NamedTuple):
    """A prompt with images as the model reads it, and as text."""

    row: SecondPassRow  # each image is as many tokens as the model reads
    text_ids: list[int]  # each image is one placeholder

    def respell(self, text_ids: list[int]) -> SecondPassRow | None:
        """Makes the row of another prompt with the same images from its text; None if the texts differ before them.

        Example:
            >>> known = ProcessedPrompt(SecondPassRow([1, 9, 9, 9, 2, 5], [], []), [1, 9, 2, 5])
            >>> known.respell([1, 9, 2, 6, 7]).prompt_ids
            [1, 9, 9, 9, 2, 6, 7]
        """
        tail = self._tail()
        head = len(self.text_ids) - tail
        if text_ids[:head] != self.text_ids[:head]:
            return None
        kept = len(self.row.prompt_ids) - tail
        ids = self.row.prompt_ids[:kept] + text_ids[head:]
        images = {
            name: pad(value[:, :kept], (0, len(ids) - kept)) if name.endswith("token_type_ids") else value
            for name, value in self.row.images.items()
        }
        return SecondPassRow(ids, [], [], images)

    def _tail(self) -> int:
        """Counts the tokens behind the last image that both spellings end with."""
        pairs = zip(reversed(self.row.prompt_ids), reversed(self.text_ids), strict=False)
        same = next((i for i, (left, right) in enumerate(pairs) if left != right), len(self.text_ids))
        types = [value[0].flip(0) for name, value in self.row.images.items() if name.endswith("token_type_ids")]
        of_text = [int(value.nonzero()[0]) if value.any() else len(value) for value in types]
        return min([same, *of_text])
