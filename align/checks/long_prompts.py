"""Prompts without room in the model's window: left out and counted where rows that cannot be used are."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jinja2 import TemplateError

from align.checks.images import check_images
from align.checks.lengths import AUDITED, context_window, load_tokenizer, longest_first, prompt_lengths
from align.data.loading import Item
from align.data.problems import DataReport, RowProblem
from align.data.stored_items import ItemKeeper
from align.recipe.dataset import DatasetConfig
from align.recipe.recipe import Recipe

T = TypeVar("T", bound=Item)
R = TypeVar("R", bound=DataReport)
RULE = "the prompt leaves no room for a completion"


def leave_out_long(
    recipe: Recipe, source: DatasetConfig, read: tuple[Sequence[T], R], to_rows: Callable[[Sequence[T]], Any]
) -> tuple[Sequence[T], R]:
    """Leaves out what `check_lengths` would refuse, if the source says `on_bad_rows: skip`.

    Args:
        recipe: A recipe of a method that generates completions.
        source: Where the items are from.
        read: The items, and the report of them, to which those left out are added.
        to_rows: Makes what the trainer reads, a row of each item.

    Returns:
        The items that fit, all of them where none would be left or it cannot be told, and the report.
    """
    items, report = read
    tokenizer, window = load_tokenizer(recipe), context_window(recipe)
    if source.on_bad_rows != "skip" or tokenizer is None or window is None:
        return read
    budget = window - int(recipe.settings.max_completion_length)
    rows = to_rows(items)
    taken = [found or 0 for found in check_images(recipe, rows).tokens or [0] * len(rows)]
    order, over = longest_first(rows, taken), dict[int, int]()
    for start in range(0, len(order), AUDITED):
        places = order[start : start + AUDITED]
        try:
            lengths = prompt_lengths(tokenizer, rows, places, taken)
        except TemplateError:  # which the check of lengths says
            return read
        found = {place: length for place, length in zip(places, lengths, strict=True) if length > budget}
        over |= found
        if not found:
            break
    if not over or len(over) == len(items):
        return read
    with ItemKeeper[T]() as keeper:
        for place, item in enumerate(items):
            if place in over:
                remedy = f"The window leaves {budget}; shorten it, or lower `max_completion_length`."
                problem = RowProblem(report.file, item.row, "prompt", f"{over[place]} tokens", RULE, remedy)
                report.problems.append(problem)
            else:
                keeper.add(item)
        report.num_kept -= len(over)
        return keeper.items(), report
