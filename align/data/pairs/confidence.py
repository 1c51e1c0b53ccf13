"""Which pairs a base reward model has something to learn from (arXiv 2506.16507, section on filtering)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def keep_unsure(p_base: Sequence[float] | NDArray[np.float64], tie: Sequence[bool], tau: float) -> NDArray[np.bool_]:
    """Keeps the pairs of which a base model is not yet sure: `(N,)` |p_base - target| > `tau`.

    The target is 1 for pairs with an order and 1/2 for ties. So an ordered pair goes if the base model already gives
    the chosen answer more than 1 - tau, and a tie goes if it already holds both for about equal. A pair without a
    probability (`nan`) is not kept.

    Example:
        >>> keep_unsure([0.7, 0.9, 0.4, 0.9], tie=[False, False, True, True], tau=0.2)
        array([ True, False, False,  True])
    """
    if not 0 <= tau <= 1:
        raise ValueError(f"`tau` must lie between 0 and 1, got {tau}.")
    probabilities = np.asarray(p_base, dtype=float)
    if (outside := probabilities[(probabilities < 0) | (probabilities > 1)]).size:
        raise ValueError(f"`p_base` must hold probabilities, got {outside[0]}.")
    target = np.where(np.asarray(tie, dtype=bool), 0.5, 1.0)
    kept: NDArray[np.bool_] = np.abs(probabilities - target) > tau
    return kept
