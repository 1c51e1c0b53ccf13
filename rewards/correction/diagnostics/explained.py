from typing import Any

import numpy as np

from rewards.correction._moments import Array


def explained(values: Array, column: Any) -> float:
    """Returns the share of the variance of `(N,)` values that a column explains, free of what chance explains.

    Numbers explain by a line, labels by the means of their rows (adjusted R²; never below 0). It is nan where the
    column is the same in every row or each row has a label of its own, and 0 where the values are all the same.

    Example:
        >>> explained(np.array([1.0, 1.0, 3.0, 3.0]), np.array(["a", "a", "b", "b"], dtype=object))
        1.0
    """
    column, num_rows = np.asarray(column), len(values)
    if column.dtype.kind in "biuf":
        centred, used = column - column.mean(), 2
        if not centred.any():
            return float("nan")
        fitted = centred * (centred @ values / (centred @ centred))
    else:
        labels, codes = np.unique(column.astype(str), return_inverse=True)
        used = len(labels)
        means = np.bincount(codes, weights=values - values.mean()) / np.bincount(codes)
        fitted = means[codes]
    if not 1 < used < num_rows:
        return float("nan")
    total = float(((values - values.mean()) ** 2).sum())
    left = float(((values - values.mean() - fitted) ** 2).sum())
    return max(0.0, 1 - left / (num_rows - used) / (total / (num_rows - 1))) if total > 0 else 0.0
