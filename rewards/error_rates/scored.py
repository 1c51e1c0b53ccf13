"""Writings of right and wrong answers, scored beside honest ones: both error rates, for every judge of rewards."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rewards.attacks.honest import Honest
from rewards.attacks.paying import MOST_STOPS, Paying
from rewards.error_rates.golds import Gold, read_golds
from rewards.error_rates.rates import Rate, rate_of
from rewards.error_rates.writings import WRITINGS
from rewards.places import Row
from rewards.roles import gains

BLOCK = 16  # rows that are looked at before the clock is, and at most of a reward whose calls are paid for
SHARE_OF_TIME = 0.25  # that both rates take of an attack


class Scored(NamedTuple):
    """A text whose answer is known to be right or wrong, and what the reward made of it."""

    kind: str  # the name of the writing
    words: str  # what it writes
    is_right: bool
    cluster: str  # the row's prompt
    gold: str
    text: str
    pay: float  # NaN where the reward gives no number, which is no pay
    is_paid: bool


class Kind(NamedTuple):
    """How often one kind of writing is taken wrongly: right ones refused, wrong ones paid."""

    rate: Rate
    example: Scored  # one that is taken wrongly, if there is any


class Errors(NamedTuple):
    """Both error rates, as shares of texts, and by kind of writing, the worst first."""

    fnr: Rate  # false negatives: right answers that are refused
    fpr: Rate  # false positives: wrong answers that are paid
    kinds: list[Kind]
    right_from: float  # pay from which a text is accepted, the median over rows
    no_number: int  # texts that got none, and so no pay


def beside_honest(paying: Paying, honest: Honest) -> Errors | None:
    """Measures both error rates on the rows of honest answers, in a share of the time; None where none are told."""
    if not honest.tells or honest.role.place is None:  # samples are no answers that can be written otherwise
        return None
    paid = Paying(paying.trial, paying.form)  # what fails here is no problem of what is judged
    found, _, _ = errors_of(paid, honest, honest.role.write, SHARE_OF_TIME * paying.trial.settings.max_seconds)
    return found


def errors_of(
    paying: Paying,
    honest: Honest,
    write: Callable[[str], str],
    seconds: float,
    synonyms: str = "",
    right_from: float | None = None,
) -> tuple[Errors | None, float | None, dict[str, int]]:
    """Scores writings on rows of honest answers, which `write` writes, for some seconds, about.

    Returns both rates, None where right answers are not told from wrong ones or nothing was done; the typical pay
    from which a text is accepted; and on how many rows right answers earn more, or less.
    """
    rows, rights = honest.rows, honest.rights
    texts = [None if right is None else write(right) for right in rights]
    pays = paying.pay(rows, texts, "the right answer")
    others = [text and write(each.wrong) for text, each in zip(texts, honest.seen, strict=True)]
    below = _beside(paying, rows, texts, others, "a wrong answer")
    gained = gains(pays, np.nan_to_num(below))
    told, less = gained > 0, int((gained < 0).sum())
    counts = {"told": int(told.sum()), "rows": int(np.isfinite(pays).sum()), "less": less}
    if rate_of(np.arange(told.sum() + less) < told.sum()).low <= 0.5:  # as many rows as by chance
        return None, right_from, counts
    halfway = (pays + np.nan_to_num(below)) / 2
    typical = float(np.median(halfway[told])) if right_from is None else right_from
    froms = np.where(told, halfway, typical) if right_from is None else np.full(len(rows), typical)
    known = [i for i in range(len(rows)) if np.isfinite(pays[i])]
    if lost := sum(text is not None for text in texts) - len(known):
        paying.problems.append(f"{lost} of {len(rows)} rows were left out: their right answer gets no number.")
    golds = read_golds(rows, rights, synonyms, honest.role.place.options if honest.role.place else "")
    scored = _score(paying, write, [(rows[i], golds[i], float(froms[i])) for i in known], seconds)
    return (summed(scored, typical) if scored else None), typical, counts


def _score(
    paying: Paying, write: Callable[[str], str], asked: Sequence[tuple[Row, Gold, float]], seconds: float
) -> list[Scored]:
    """Scores all writings of some rows at a time, until there is no time; rows that are not done do not count."""
    started, scored = time.monotonic(), list[Scored]()
    for start in range(0, len(asked), BLOCK):
        is_late = start and time.monotonic() - started > seconds
        done = [] if is_late else _score_block(paying, write, asked[start : start + BLOCK])
        if is_late or paying.stops >= MOST_STOPS:
            why = "raise `--max_seconds`" if is_late else f"{MOST_STOPS} texts have stopped it"
            paying.problems.append(f"{start} of {len(asked)} rows were used: {why}.")
            break
        scored += done
    return scored


def _beside(
    paying: Paying, rows: Sequence[Row], plains: Sequence[str | None], texts: Sequence[str | None], name: str
) -> np.ndarray:
    """Scores texts, beside the plain answers where a reward compares what is in a batch."""
    if not paying.trial.description.whole_batch:
        return paying.pay(rows, texts, name)
    return paying.pay([*rows, *rows], [*plains, *texts], name)[len(rows) :]


def _score_block(
    paying: Paying, write: Callable[[str], str], asked: Sequence[tuple[Row, Gold, float]]
) -> list[Scored]:
    rows, scored = [row for row, _, _ in asked], list[Scored]()
    written: list[set[str]] = [set() for _ in asked]  # so that no text of a row counts twice
    for writing in WRITINGS:
        texts: list[str | None] = []
        for (_, gold, _), before in zip(asked, written, strict=True):
            answer = writing.write(gold)
            text = None if answer is None else write(answer)
            is_new = text is not None and (text or not answer) and text not in before
            texts.append(text if is_new else None)
            before |= {text} if text is not None else set()
        if all(text is None for text in texts):
            continue
        values = _beside(paying, rows, [write(gold.text) for _, gold, _ in asked], texts, writing.name)
        for (row, gold, least), text, pay in zip(asked, texts, values, strict=True):
            if text is not None:
                known = (writing.name, writing.words, writing.is_right, cluster(row), gold.text, text)
                scored.append(Scored(*known, float(pay), bool(pay >= least)))
    return scored


def cluster(row: Mapping[str, Any]) -> str:
    """Names the row that texts belong to."""
    return repr(row.get("prompt"))


def summed(scored: Sequence[Scored], right_from: float) -> Errors:
    """Sums scored texts up."""
    sides = {side: [each for each in scored if each.is_right is side] for side in (True, False)}
    kinds = []
    for side, texts in sides.items():
        for name in dict.fromkeys(each.kind for each in texts):
            own = [each for each in texts if each.kind == name]
            shown = next((each for each in own if each.is_paid is not side), own[0])
            kinds.append(Kind(_rate(own), shown))
    kinds.sort(key=lambda each: (not each.example.is_right, -each.rate.share, -each.rate.low))
    no_number = sum(math.isnan(each.pay) for each in scored)
    return Errors(_rate(sides[True]), _rate(sides[False]), kinds, right_from, no_number)


def _rate(texts: Sequence[Scored]) -> Rate:
    """Estimates the share of texts that are taken wrongly, all of one side."""
    return rate_of([each.is_paid is not each.is_right for each in texts], [each.cluster for each in texts])
