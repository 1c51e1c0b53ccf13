"""Whether rows share batches in which their positions, and so their numbers, depend on each other's length."""

from collections.abc import Sequence

from align.checks.finding import Finding
from align.checks.model import model_config
from align.models.rope_lengths import positions_by_length
from align.recipe.recipe import Recipe


def check_positions(recipe: Recipe, lengths: Sequence[int], *, growth: int = 0) -> list[Finding]:
    """Finds rows on both sides of the length up to which rotary positions stay the same.

    Args:
        recipe: A recipe whose trainer puts rows of unlike length into one batch, as TRL's do.
        lengths: Tokens of rows, those that are generated left out.
        growth: How many may be generated behind each.
    """
    name = recipe.model.model_name_or_path
    by_length = positions_by_length(model_config(name))
    longest = max(lengths, default=0) + growth
    if by_length is None or longest <= by_length.tokens:
        return []
    if by_length.kind == "longrope" and min(lengths) > by_length.tokens:
        return []  # all have the positions of long rows
    remedy = f"Set `max_length: {by_length.tokens}` or less, or use a model whose positions are the same in any batch."
    if growth and (room := by_length.tokens - max(lengths)) > 0:
        remedy = (
            f"Set `max_completion_length: {room}` or less, or use a model whose positions are the same in any batch."
        )
    elif growth:
        remedy = f"Leave out prompts of {by_length.tokens} tokens and more, or use a model without such positions."
    text = (
        f"{name} has {by_length.kind} positions: a batch with a row longer than {by_length.tokens} tokens gives its "
        f"rows other positions than each has alone, and rows take up to {longest}. TRL reads them together, so what "
        f"is learnt from a row depends on the others in its batch. {remedy}"
    )
    return [Finding("warning", "positions", text, {"tokens": by_length.tokens, "max": longest})]
