"""The weights of a merge as they are written on a command line."""

from decimal import Decimal, InvalidOperation

from align.errors import UserError

_MOST = 101


def read_alphas(words: tuple[str, ...]) -> tuple[float, ...]:
    """Reads numbers from 0 to 1, and ranges `FROM:TO:STEP` with both ends.

    Example:
        >>> read_alphas(("0:1:0.25",)), read_alphas(("0.3", "0.1"))
        ((0.0, 0.25, 0.5, 0.75, 1.0), (0.1, 0.3))
    """
    found = sorted({alpha for word in words for alpha in _read(word)})
    if not found or len(found) > _MOST:
        raise UserError(f"`--alpha` must name 1 to {_MOST} weights, got {len(found)}. Give `0.5`, or `0:1:0.1`.")
    return tuple(map(float, found))


def _read(word: str) -> list[Decimal]:
    try:
        numbers = [Decimal(part) for part in word.split(":")]
    except InvalidOperation:
        numbers = []
    wrong = UserError(
        f"`--alpha` must be a number from 0 (the base) to 1 (the tuned model), or FROM:TO:STEP, got {word!r}."
    )
    if len(numbers) not in (1, 3) or not all(each.is_finite() for each in numbers):
        raise wrong
    if not all(0 <= each <= 1 for each in numbers[:2]):
        raise wrong
    if len(numbers) == 1:
        return numbers
    low, high, step = numbers
    if step <= 0 or low > high:
        raise wrong
    return [low + step * i for i in range(min(int((high - low) / step), _MOST) + 1)]
