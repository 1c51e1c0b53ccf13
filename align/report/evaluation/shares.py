"""Shares, other values and their differences in words."""

from collections.abc import Callable

from align.evaluation.statistics.decimals import num_decimals
from align.evaluation.statistics.metrics import Estimate

_ROUNDING = 1e-9  # of differences of values of the same items


def in_percent(estimate: Estimate) -> str:
    """Writes a share with its interval.

    Example:
        >>> in_percent(Estimate(0.62, 0.591, 0.649, 1000))
        '62.0 % [59.1, 64.9]'
    """
    return f"{100 * estimate.value:.1f} % [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def in_points(difference: Estimate) -> str:
    """Says how far two shares lie apart, if that can be told.

    Example:
        >>> in_points(Estimate(0.18, 0.14, 0.22, 1000))
        '18.0 points more [+14.0, +22.0]'
        >>> in_points(Estimate(0.01, -0.02, 0.04, 1000))
        'no difference can be told (+1.0 points [-2.0, +4.0])'
        >>> in_points(Estimate(0.0013, 0.0003, 0.0022, 20_000))
        '0.13 points more [+0.03, +0.22]'
    """
    if difference.low != difference.low:
        return (
            f"{100 * difference.value:+.1f} points, the same on all items that were compared, so without an interval"
        )
    value, low, high = (100 * number for number in difference[:3])
    digits = num_decimals(low, high, 1)
    ends = f"[{low:+.{digits}f}, {high:+.{digits}f}]"
    if low > 0 or high < 0:
        return f"{abs(value):.{digits}f} points {'more' if low > 0 else 'less'} {ends}"
    return f"no difference can be told ({value:+.{digits}f} points {ends})"


def in_values(difference: Estimate) -> str:
    """Says how far two values lie apart that are no shares, if that can be told.

    Example:
        >>> in_values(Estimate(0.67, 0.62, 0.71, 200))
        'a difference of 0.67 [0.62, 0.71]'
        >>> in_values(Estimate(2.0, float("nan"), float("nan"), 200))
        'a difference of 2.00, the same on all items that were compared, so without an interval'
    """
    if difference.low != difference.low:
        return (
            f"a difference of {difference.value:.2f}, the same on all items that were compared, so without an interval"
        )
    told = difference.low > 0 or difference.high < 0
    return f"{'a difference of' if told else 'no difference can be told:'} {difference}"


def compared(
    model: str,
    ours: Estimate,
    baseline: str,
    theirs: Estimate,
    difference: Estimate,
    *,
    is_share: bool,
    show: Callable[[Estimate], str] | None = None,
) -> str:
    """Says what two models have and how far they lie apart, and of how many items where those are not the same.

    Args:
        model: Its name.
        ours: What it has.
        baseline: Name of the other.
        theirs: What that one has.
        difference: On the items of both.
        is_share: Whether the values are shares.
        show: Writes a value; by default without its interval.

    Example:
        >>> difference = Estimate(0.2, 0.1, 0.3, 90)
        >>> compared("a", Estimate(0.7, 0.6, 0.8, 90), "b", Estimate(0.5, 0.4, 0.6, 90), difference, is_share=True)
        '70.0 % for a, 50.0 % for b; 20.0 points more [+10.0, +30.0]'
        >>> compared("a", Estimate(0.9, 0.8, 1.0, 95), "b", Estimate(0.5, 0.4, 0.6, 90), difference, is_share=True)
        '90.0 % for a (95 items), 50.0 % for b (90 items); on the 90 items of both 20.0 points more [+10.0, +30.0]'
    """
    written = show or ((lambda each: f"{100 * each.value:.1f} %") if is_share else (lambda each: f"{each.value:.3g}"))
    told = in_points(difference) if is_share else in_values(difference)
    gap, size = ours.value - theirs.value, max(1.0, abs(ours.value), abs(theirs.value))
    if ours.n == theirs.n == difference.n or abs(gap - difference.value) < _ROUNDING * size:
        return f"{written(ours)} for {model}, {written(theirs)} for {baseline}; {told}"
    first, second, both = (f"{each.n:,} item{'' if each.n == 1 else 's'}" for each in (ours, theirs, difference))
    values = f"{written(ours)} for {model} ({first}), {written(theirs)} for {baseline} ({second})"
    return f"{values}; on the {both} of both {told}"
