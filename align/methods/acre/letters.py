"""Which letter a second pass answers with."""

import math
import random
from collections.abc import Sequence


def take_letter(log_probs: Sequence[float], temperature: float, rng: random.Random) -> int:
    """Takes the likeliest of K letters, the first of a tie; with a temperature above 0 one is sampled.

    Example:
        >>> take_letter([-2.0, -0.1, -3.0], 0, random.Random(0))
        1
    """
    best = max(range(len(log_probs)), key=log_probs.__getitem__)
    if not temperature:
        return best
    weights = [math.exp((each - log_probs[best]) / temperature) for each in log_probs]
    return rng.choices(range(len(weights)), weights)[0]
