"""Pairs without labels, a batch for each pass; the step says which, so that a resumed run reads the same."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from align.data.conversations import write_response
from align.data.pairs.candidates import Candidates
from align.errors import DataError
from align.methods.crome.rules import ADAPTER_REFUSED
from align.recipe.recipe import Recipe

if TYPE_CHECKING:
    from datasets import Dataset


def unlabelled_rows(rows: list[Candidates]) -> list[dict[str, Any]]:
    """Makes pairs of the responses of each prompt: the first with the second, the third with the fourth, and so on.

    Raises:
        DataError: If no prompt has two responses that differ.
    """
    pairs = [
        {
            "prompt": row.prompt,
            "chosen": write_response(first, row.prompt),
            "rejected": write_response(second, row.prompt),
        }
        for row in rows
        for first, second in zip(row.responses[::2], row.responses[1::2], strict=False)
        if first != second
    ]
    if not pairs:
        raise DataError(
            "`dataset.unlabelled_path`: no prompt has two `responses` that differ, of which a pair could be made. "
            "Sample at least two responses for each prompt."
        )
    return pairs


def check_knobs(recipe: Recipe, path: str | None) -> None:
    """Checks that unlabelled rows are there for two heads and for nothing else, and that no adapter is trained.

    Raises:
        DataError: If they are missing or would not be read, or for an adapter.
    """
    heads = recipe.setting("num_heads")
    for knob, is_on in (("vib_coef", recipe.setting("vib_coef") > 0), ("num_heads", heads > 1)):
        if is_on and recipe.model.use_peft:
            raise DataError(ADAPTER_REFUSED.format(knob=knob))
    if heads == 2 and path is None:
        raise DataError(
            "`num_heads: 2` needs pairs on which the two heads come apart. Set `dataset.unlabelled_path` to rows of "
            "`prompt` and `responses` sampled from the policy that the reward model is for, or `num_heads: 1`."
        )
    if heads == 1 and path is not None:
        raise DataError("`dataset.unlabelled_path` is read by two heads only. Set `num_heads: 2`, or remove the path.")


class UnlabelledPairs:
    """Gives out batches of a data set over and over, each time around in another order.

    Args:
        rows: What the collator reads.
        collate: Makes a batch of rows.
        batch_size: Pairs per process and pass.
        seed: Of the orders.
    """

    def __init__(self, rows: "Dataset", collate: Callable[[list[Any]], dict[str, Any]], batch_size: int, seed: int):
        self._rows, self._collate, self._batch_size, self._seed = rows, collate, batch_size, seed
        self._place, self._around = (-1, 0), -1
        self._order: list[int] = []

    def batch(self, step: int, passes: int, rank: int, ranks: int) -> dict[str, Any]:
        """Collates the next batch.

        Args:
            step: Optimizer steps so far.
            passes: Per step.
            rank: Of this process; the processes share out what one with a batch of all would read.
            ranks: How many there are.
        """
        self._place = (step, self._place[1] + 1 if self._place[0] == step else 0)
        start = ((step * passes + self._place[1]) * ranks + rank) * self._batch_size
        return self._collate([self._rows[self._row(place)] for place in range(start, start + self._batch_size)])

    def _row(self, place: int) -> int:
        around, number = divmod(place, len(self._rows))
        if around != self._around:
            self._around, self._order = around, list(range(len(self._rows)))
            random.Random(f"unlabelled {self._seed} {around}").shuffle(self._order)
        return self._order[number]
