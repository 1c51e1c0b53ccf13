"""Why pairs and candidates have no score: they are too long, or the model gives them no finite number."""

from collections.abc import Iterator
from typing import NamedTuple


class Unscored(NamedTuple):
    """How many things have no score, by reason.

    Attributes:
        too_long: Longer than the model reads.
        not_numbers: Read, and given nan or no finite number, as by weights that overflow.
    """

    too_long: int
    not_numbers: int

    def reasons(self) -> Iterator[tuple[int, str, str]]:
        """Yields the count, what happened to them, and the remedy, of each reason there is."""
        if self.too_long:
            yield self.too_long, "too long to be scored", "Raise `max_length`"
        if self.not_numbers:
            remedy = "Look for nan in the model's weights, or score with `dtype` float32, in which less overflows"
            yield self.not_numbers, "given no finite number by the model", remedy

    def sentence(self, total: int, noun: str, rest: str = "") -> str:
        """Says how many of all things have no score, and why.

        Args:
            total: All of them.
            noun: What they are, in the plural.
            rest: What follows from it.

        Example:
            >>> Unscored(2, 0).sentence(2, "pairs"), Unscored(1, 0).sentence(3, "pairs", ", and left out")
            ('All 2 pairs are too long to be scored. Raise `max_length`.', '1 of 3 pairs are too long ...')
        """
        counts = [
            f"{'all' if count == total > 1 else f'{count:,} of'} {total:,} {noun} are {why}"
            for count, why, _ in self.reasons()
        ]
        remedies = ". ".join(remedy for _, _, remedy in self.reasons())
        said = " and ".join(counts)
        return f"{said[:1].upper()}{said[1:]}{rest}. {remedies}."


ALL_SCORED = Unscored(0, 0)
