"""What several completions of a row answer: which are right, what most of them say, and which letters they give."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from align.data.prompt_rows import LABEL
from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import Estimate, Values
from rewards.reading.options import parse_choice
from rewards.reading.responses import ResponseFormat, parse_response
from rewards.reading.traces import stated_choice
from rewards.scoring.accuracy import right_option
from rewards.scoring.text_accuracy import TextAccuracy, normalise_text

Texts: TypeAlias = NDArray[np.object_]
Rows = Sequence[Mapping[str, Any]]


class Answers(NamedTuple):
    """What S completions of each of N rows answer, each `(N, S)`."""

    texts: Texts  # of the option, else as `normalise_text` writes the answer; None where there is none
    stated: Texts  # text of the option that the trace states last; None where it states none or several
    right: Values  # 1 or 0, nan where nobody knows

    @property
    def votes(self) -> list[str | None]:
        """The commonest answer of each row, None where two are as common, or there is none."""
        return [_commonest(row) for row in self.texts]

    def right_of(self, said: Texts) -> Values:
        """Tells `(N, T)` of texts whether they are right: those of an answer that is; of others nobody knows."""
        known = [dict(zip(*row, strict=True)) for row in zip(self.texts, self.right, strict=True)]
        return np.array([[of.get(text, np.nan) for text in row] for of, row in zip(known, said, strict=True)])


def read_answers(
    rows: Rows, completions: Sequence[Sequence[str]], response_format: ResponseFormat, gold: str = LABEL
) -> Answers:
    """Reads the completions of rows, by their `options` where they have any; `gold` is the column that is right."""
    is_right = TextAccuracy(response_format=response_format)
    found = [
        [_read(row, text, response_format, is_right, gold) for text in group]
        for row, group in zip(rows, completions, strict=True)
    ]
    texts, stated, right = np.moveaxis(np.array(found, dtype=object), 2, 0)
    return Answers(texts, stated, right.astype(float))


def _read(row: Mapping[str, Any], text: str, tags: ResponseFormat, is_right: TextAccuracy, gold: str) -> Any:
    response, options = parse_response(text, tags), row.get("options")
    if options is None:
        (paid,) = is_right([text], [row[gold]]) if gold in row else (None,)
        return normalise_text(response.answer or "") or None, None, paid
    choice, stated = parse_choice(response.answer, options), stated_choice(response.trace, options)
    known = right_option(row.get(gold), options)
    right = None if known is None else float(choice == known)
    return *(None if each is None else options[each] for each in (choice, stated)), right


def _commonest(said: Sequence[str | None]) -> str | None:
    ranked = Counter(each for each in said if each is not None).most_common(2)
    is_told = len(ranked) == 1 or (len(ranked) == 2 and ranked[0][1] > ranked[1][1])
    return ranked[0][0] if is_told else None


def letter_counts(rows: Rows, said: Texts) -> Values:
    """Counts `(N, L)` how often each of N rows was answered by each of L letters, of `(N, S)` texts of options."""
    counts = np.zeros((len(rows), max((len(row.get("options") or ()) for row in rows), default=0)))
    for place, (row, texts) in enumerate(zip(rows, said, strict=True)):
        for text in texts:
            if text is not None and counts.shape[1]:
                counts[place, [*row["options"]].index(text)] += 1
    return counts


def letter_excess(rows: Rows, counts: Values) -> Estimate:
    """Estimates how far the commonest letter is from an even share, 0, towards all answers, 1.

    Options that were shuffled have every letter right as often, so that what is beyond is the policy's liking.

    Example:
        >>> rows = [{"options": ["tin", "iron"]}] * 8
        >>> letter_excess(rows, np.array([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 2)).value
        0.5
    """
    letter = int(counts.sum(axis=0).argmax())
    found = clustered_share(counts[:, letter], counts.sum(axis=1))
    sizes = np.array([len(row["options"]) for row in rows])
    even = float(np.average(np.where(sizes > letter, 1 / sizes, 0.0), weights=counts.sum(axis=1) + 1e-9))
    value, low, high = ((each - even) / (1 - even) for each in found[:3])
    return found._replace(value=value, low=low, high=high)
