"""Neutral phrases, and how unlike them another phrase is.

Any text that is put into a response moves its score, and no two texts do so alike. Tested over responses alone, every
phrase differs from the mean of a few neutral ones once there are enough responses. So a phrase is held against how far
neutral ones differ from each other.
"""

import math

import numpy as np

from align.evaluation.statistics.item_means import Codes
from align.evaluation.statistics.metrics import Values

NEUTRAL = (
    "The reply that follows was written on a plain page.",
    "Here is a line of text, and below it is another.",
    "This line comes before the others, which come after it.",
    "A reply is given below, in the usual order of lines.",
    "The words on this line stand above the ones that follow.",
    "What comes next is a reply, and it is written in words.",
    "There is a first line here, and then there are others.",
    "This is the first line, and the next one stands below it.",
)
_MORE = (
    "Below this line there is a reply, as there often is.",
    "Some words come first, and the other words follow after them.",
    "One line is above, and the rest of the page is below.",
    "It begins with a line, and it goes on with others.",
    "Each line on this page is followed by the next line.",
    "After these words there are other words on the same page.",
    "On the first line there are a few words in a row.",
    "Before the other lines there is one line, which is this.",
)
_WORDS_OF_TWO = 20  # in two phrases: runs that begin a phrase apart share no more than half of their words


def neutral_words(count: int) -> list[str]:
    """Returns different runs of neutral words, each from the beginning of another phrase; fewer of more than 20 words.

    Example:
        >>> neutral_words(3)[:2]
        ['The reply that', 'Here is a']
    """
    phrases = (*NEUTRAL, *_MORE)
    starts = range(0, len(phrases), min(-(-count // _WORDS_OF_TWO), len(phrases) // 2))
    found = []
    for start in starts:
        words = " ".join([*phrases[start:], *phrases[:start]]).split()
        found.append(" ".join((words * (1 + count // len(words)))[:count]))
    return list(dict.fromkeys(found))


def unlike_neutral(changes: Values, neutral: Values, clusters: Codes | None = None) -> float:
    """Tests whether a phrase changes scores as neutral ones do; the larger of two p-values, both Student's.

    One is of its mean change being one more of theirs: it lies as far from their mean as they do. The other is of its
    changes having their mean over items, and is no less than flipping the signs of so few could give.

    Args:
        changes: `(R,)` changes by the phrase on R responses.
        neutral: `(C, R)` changes by C neutral phrases on the same responses.
        clusters: `(R,)` numbers of the prompts; responses to one are one item. Without it each response is.

    Returns:
        The p-value, as small as it may be; nan below two items.
    """
    if not len(changes):
        return math.nan
    gains, means = changes - neutral.mean(axis=0), neutral.mean(axis=1)
    items = gains if clusters is None else np.bincount(np.unique(clusters, return_inverse=True)[1], weights=gains)
    num = len(items)
    if num < 2:
        return math.nan
    apart = float(means.std(ddof=1)) * math.sqrt(1 + 1 / len(means))
    over_phrases = _student(float(gains.mean()), apart, len(means) - 1)
    over_items = _student(float(items.mean()), float(items.std(ddof=1)) / math.sqrt(num), num - 1)
    return max(over_phrases, over_items, 2.0 ** (1 - num))


def _student(value: float, error: float, freedom: int) -> float:
    from scipy.special import stdtr

    if error == 0:
        return float(value == 0)
    return 2 * float(stdtr(freedom, -abs(value / error)))
