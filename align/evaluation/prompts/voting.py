"""pass@k and maj@k from S samples, exact: expectations over the draws of k of them."""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from functools import lru_cache

from rewards.reading.formulas import answered_formula
from rewards.reading.numbers import read_number
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """Returns the chance that one of k samples is right: 1 - C(n - c, k) / C(n, k), unbiased (Chen et al., 2021).

    Raises:
        ValueError: If there are fewer samples than k.

    Example:
        >>> pass_at_k(4, 2, 1), pass_at_k(4, 1, 2)
        (0.5, 0.5)
    """
    if not 1 <= k <= num_samples:
        raise ValueError(f"`k` must lie between 1 and the {num_samples} samples, got {k}.")
    return 1 - math.comb(num_samples - num_right, k) / math.comb(num_samples, k)


def maj_at_k(answers: Sequence[Hashable | None], right: Sequence[float], k: int) -> float:
    """Returns the chance that the answer that most of k samples give is right, ties broken at random.

    Samples without an answer do not vote; if none of k votes, that is wrong. Where samples with one answer are not
    all right or all wrong, the answer counts as their mean.

    Args:
        answers: `(S,)` what each sample answers.
        right: `(S,)` 1 for each that is right.
        k: Samples drawn.

    Raises:
        ValueError: If there are fewer samples than k.

    Example:
        >>> maj_at_k(["3", "3", "4"], [1.0, 1.0, 0.0], 3)
        1.0
        >>> maj_at_k(["3", "3", "4"], [0.0, 0.0, 1.0], 2)  # 3 and 3: wrong; 3 and 4, twice: a tie
        0.3333333333333333
    """
    if not 1 <= k <= len(answers):
        raise ValueError(f"`k` must lie between 1 and the {len(answers)} samples, got {k}.")
    votes = Counter(answer for answer in answers if answer is not None)
    silent = len(answers) - votes.total()
    expected = 0.0
    for answer, count in votes.items():
        worth = sum(value for value, other in zip(right, answers, strict=True) if other == answer) / count
        if worth:
            others = tuple(sorted(other for name, other in votes.items() if name != answer))
            expected += worth * _chance_to_win(count, others, silent, k)
    return expected


def stated_answer(text: str, response_format: ResponseFormat = DEFAULT_FORMAT) -> str | None:
    r"""Reads what a response answers, so that equal answers are equal texts: in its tags, last line or box.

    Example:
        >>> stated_answer("<answer>1,000</answer>"), stated_answer(r"So \boxed{Blue}."), stated_answer("Perhaps 3")
        ('1000', 'blue', None)
    """
    answer = answered_formula(text, response_format)
    if answer is None:
        return None
    number = read_number(answer)
    if number is None:
        return " ".join(answer.casefold().split())
    return f"{number.value} {number.unit}".strip()


@lru_cache(maxsize=1 << 16)
def _chance_to_win(own: int, others: tuple[int, ...], silent: int, k: int) -> float:
    """Returns the chance that an answer with `own` votes has the most of k drawn, ties shared out."""
    ways = 0.0
    for size in range(1, min(own, k) + 1):
        beaten = {(drawn, 0): math.comb(silent, drawn) for drawn in range(min(silent, k - size) + 1)}
        for other in others:
            beaten = _with_another(beaten, other, size, k - size)
        draws = sum(count / (ties + 1) for (drawn, ties), count in beaten.items() if drawn == k - size)
        ways += math.comb(own, size) * draws
    return ways / math.comb(sum(others) + own + silent, k)


def _with_another(beaten: dict[tuple[int, int], int], votes: int, size: int, most: int) -> dict[tuple[int, int], int]:
    """Adds an answer that gets `size` votes of its own at most; with as many it ties."""
    found: dict[tuple[int, int], int] = defaultdict(int)
    for (drawn, ties), count in beaten.items():
        for more in range(min(votes, size, most - drawn) + 1):
            found[drawn + more, ties + (more == size)] += count * math.comb(votes, more)
    return found
