"""With how many decimals numbers are written."""

_MOST_DECIMALS, _LARGE = 6, 1e9
_ROUNDING = 0.5 * 10**-_MOST_DECIMALS  # an end that no number of decimals would tell from 0


def num_decimals(low: float, high: float, least: int) -> int:
    """Returns with how many decimals, at least `least`, an interval shows its width and on which side of 0 it is.

    Example:
        >>> num_decimals(0.0003, 0.002, 2), num_decimals(0.1, 0.2, 2), num_decimals(-1e-7, 0.2, 2)
        (4, 2, 2)
    """
    for digits in range(least, _MOST_DECIMALS):
        near, far = round(low, digits), round(high, digits)
        if near != far and all(end != 0 or abs(exact) < _ROUNDING for end, exact in ((near, low), (far, high))):
            return digits
    return _MOST_DECIMALS


def written(value: float, digits: int) -> str:
    """Writes a number with so many decimals, a very large one with a power of ten.

    Example:
        >>> written(-0.001, 2), written(1234567.891, 2), written(-1e300, 2)
        ('0.00', '1234567.89', '-1e+300')
    """
    return f"{value:z.{digits}f}" if abs(value) < _LARGE else f"{value:.3g}"
