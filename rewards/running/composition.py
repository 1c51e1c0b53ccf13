"""How rewards of one completion bear on each other: limits on a reward, and rewards that open or close another."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Composition:
    """Gates and limits of rewards, which are named by their place.

    Attributes:
        limits: Lowest and highest value of a reward; an infinite one sets no limit.
        gates: Which reward opens another: where the gate's own value is not above 0, the other counts 0.

    Example:
        >>> only_with_format = Composition(gates={0: 1}, limits={2: (-1.0, 0.0)})
        >>> only_with_format.apply(np.array([[1.0, 1.0, -3.0], [1.0, 0.0, 0.5]]))
        array([[ 1.,  1., -1.],
               [ 0.,  0.,  0.]])
    """

    limits: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    gates: Mapping[int, int] = field(default_factory=dict)

    @property
    def changed(self) -> list[int]:
        """The rewards whose value may differ from what their function gave."""
        return sorted({*self.limits, *self.gates})

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Returns what counts of each reward.

        Args:
            values: `(N, F)` rewards of N completions by F functions; NaN where a function gave None.

        Returns:
            `(N, F)`. A gate without a value leaves the reward behind it without one: nobody knows whether it counts.
        """
        counted = values.copy()
        for place, (low, high) in self.limits.items():
            counted[:, place] = np.clip(values[:, place], low, high)
        for place, gate in self.gates.items():
            opened = np.where(values[:, gate] > 0, counted[:, place], 0.0)
            counted[:, place] = np.where(np.isnan(values[:, gate]) | np.isnan(values[:, place]), np.nan, opened)
        return counted
