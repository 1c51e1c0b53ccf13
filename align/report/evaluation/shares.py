"""Shares and their differences in words."""

from align.evaluation.statistics.metrics import Estimate


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
    """
    if difference.low != difference.low:
        return (
            f"{100 * difference.value:+.1f} points, the same on all items that were compared, so without an interval"
        )
    ends = f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
    if difference.low > 0 or difference.high < 0:
        return f"{abs(100 * difference.value):.1f} points {'more' if difference.low > 0 else 'less'} {ends}"
    return f"no difference can be told ({100 * difference.value:+.1f} points {ends})"
