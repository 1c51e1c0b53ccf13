"""What choosing the best of n responses by a reward model is worth."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from align.data.pairs.candidates import Candidates
from align.errors import DataError
from align.evaluation.statistics.metrics import Values
from align.evaluation.suites.reward_model.pair_metrics import count_unscored
from align.models.reward_model import RewardModel

NUM_ORDERS = 4  # tournaments per prompt of a pairwise model
Match = tuple[int, int, int]  # prompt, challenger, champion


class Choice(NamedTuple):
    """What a reward model chose for one prompt."""

    best: int  # index of the response chosen from all N
    scores: Values | None  # `(N,)` rewards; None from a pairwise model
    quality: list[float] | None  # expected of the response chosen from n, for each n; None if it is not known


def best_of_n_weights(scores: Sequence[float] | Values, n: int) -> Values:
    """Returns the `(N,)` chances of responses to be chosen from n drawn without replacement, ties broken at random.

    With the responses sorted by score, the best of n random ones is among the first i with probability C(i, n) / C(N,
    n).

    Example:
        >>> best_of_n_weights([0.1, 0.9, 0.5], 2)
        array([0.        , 0.66666667, 0.33333333])
        >>> best_of_n_weights([0.1, 0.5, 0.5], 2)
        array([0. , 0.5, 0.5])
    """
    array = np.asarray(scores, dtype=float)
    if not 1 <= n <= len(array):
        raise ValueError(f"`n` must lie between 1 and the {len(array)} responses, got {n}.")
    if np.isnan(array).any():
        raise ValueError("`scores` must be numbers, got nan.")
    subsets = math.comb(len(array), n)
    _, group, counts = np.unique(array, return_inverse=True, return_counts=True)
    reached = np.array([math.comb(int(i), n) / subsets for i in np.concatenate([[0], counts.cumsum()])])
    return (np.diff(reached) / counts)[group]


def expected_best_of_n(scores: Sequence[float] | Values, quality: Sequence[float] | Values, n: int) -> float:
    """Returns the expected quality of the response with the highest score among n drawn without replacement.

    Example:
        >>> expected_best_of_n([1.0, 2.0, 3.0], [0.0, 1.0, 0.0], 2)
        0.3333333333333333
    """
    return float(best_of_n_weights(scores, n) @ np.asarray(quality, dtype=float))


def king_of_the_hill(
    orders: Sequence[Sequence[int]], prompts: Sequence[int], compare: Callable[[list[Match]], Sequence[float]]
) -> list[list[int]]:
    """Plays one tournament per order, in which each response challenges the champion so far; returns the champions.

    The champion after n responses is the best of n random ones if the order is random, so one tournament gives every n
    with N - 1 comparisons. Where two are equal the champion stays. No match is asked for twice.
    """
    known: dict[Match, float] = {}
    champions = [[order[0]] for order in orders]
    for arrival in range(1, max(map(len, orders), default=0)):
        playing = [i for i, order in enumerate(orders) if arrival < len(order)]
        matches = {i: (prompts[i], orders[i][arrival], champions[i][-1]) for i in playing}
        new: dict[Match, None] = {}
        for prompt, challenger, champion in matches.values():
            if not {(prompt, challenger, champion), (prompt, champion, challenger)} & (known.keys() | new.keys()):
                new[prompt, challenger, champion] = None
        for (prompt, challenger, champion), margin in zip(new, compare(list(new)), strict=True):
            known[prompt, challenger, champion] = margin
            known[prompt, champion, challenger] = -margin
        for i, match in matches.items():
            champions[i].append(match[1] if known[match] > 0 else match[2])
    return champions


def points(num_samples: int) -> list[int]:
    """Returns 1, 2, 4, ... and S.

    Example:
        >>> points(6)
        [1, 2, 4, 6]
    """
    return [*(1 << i for i in range((num_samples - 1).bit_length())), num_samples]


def curve_points(rows: Sequence[Candidates]) -> list[int]:
    """Returns the `points` up to the smallest number of responses of a prompt."""
    return points(min(len(row.responses) for row in rows))


def choose_best(model: RewardModel, rows: Sequence[Candidates], *, seed: int = 0) -> list[Choice]:
    """Chooses a response for each prompt, and estimates what choosing from fewer would have given.

    A scalar model chooses the highest reward, of equal ones the first. A pairwise model plays king of the hill in
    random order, as in Crome's evaluation (arXiv 2506.16507), `NUM_ORDERS` times; the first of them chooses.
    """
    counts = curve_points(rows)
    return _choose_pairwise(model, rows, counts, seed) if model.pairwise else _choose_scalar(model, rows, counts)


def _choose_scalar(model: RewardModel, rows: Sequence[Candidates], counts: Sequence[int]) -> list[Choice]:
    prompts = [row.prompt for row in rows for _ in row.responses]
    texts = [text for row in rows for text in row.responses]
    flat = model.score(prompts, texts)
    _check_all_scored(model, flat, prompts, texts)
    ends = np.cumsum([len(row.responses) for row in rows])[:-1]
    choices = []
    for row, scores in zip(rows, np.split(flat, ends), strict=True):
        quality = row.quality and [expected_best_of_n(scores, row.quality, n) for n in counts]
        choices.append(Choice(int(scores.argmax()), scores, quality or None))
    return choices


def _choose_pairwise(model: RewardModel, rows: Sequence[Candidates], counts: Sequence[int], seed: int) -> list[Choice]:
    prompts = [i for i in range(len(rows)) for _ in range(NUM_ORDERS)]
    orders = [
        random.Random(f"{seed}/{row.id}/{k}").sample(range(len(row.responses)), len(row.responses))
        for row in rows
        for k in range(NUM_ORDERS)
    ]

    def compare(matches: list[Match]) -> Sequence[float]:
        first, second = ([rows[match[0]].responses[match[side]] for match in matches] for side in (1, 2))
        asked = [rows[match[0]].prompt for match in matches]
        margins = model.margins(asked, first, second)
        _check_all_scored(model, margins, asked, first, second)
        return margins.tolist()

    champions = king_of_the_hill(orders, prompts, compare)
    choices = []
    for i, row in enumerate(rows):
        played = champions[i * NUM_ORDERS : (i + 1) * NUM_ORDERS]
        quality = row.quality and [float(np.mean([row.quality[each[n - 1]] for each in played])) for n in counts]
        choices.append(Choice(played[0][-1], None, quality or None))
    return choices


def _check_all_scored(model: RewardModel, values: Values, prompts: Sequence[Any], *responses: Sequence[str]) -> None:
    if np.isnan(values).any():
        found = count_unscored(model, values, prompts, *responses)
        rest = ", and leaving them out would change what is chosen"
        raise DataError(found.sentence(len(values), "candidates", rest)[:-1] + ", or leave their prompts out.")
