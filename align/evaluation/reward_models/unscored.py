"""Counts why pairs and candidates have no score."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from align.evaluation.record.unscored import Unscored
from align.evaluation.statistics.metrics import Values


def count_unscored(model: Any, values: Values, prompts: Sequence[Any], *responses: Sequence[Any]) -> Unscored:
    """Counts the values that are nan, by why they are.

    Args:
        model: A `RewardModel`.
        values: `(N,)` scores or margins.
        prompts: N prompts.
        *responses: N responses to each, of both sides for margins.
    """
    missing = np.flatnonzero(np.isnan(values))
    too_long = sum(not model.reads(prompts[i], *(side[i] for side in responses)) for i in missing)
    return Unscored(too_long, len(missing) - too_long)
