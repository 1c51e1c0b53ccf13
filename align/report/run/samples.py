import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.report.run.completions import (
    ANSWERS,
    UNKNOWN,
    Row,
    ShownCall,
    Weights,
    answers_disagree,
    completion_words,
    first_words,
    gold_of,
    in_words,
    is_raw,
    number,
    other_texts,
    outcome_of,
    rewards_of,
    shown_calls,
    total_reward,
)
from align.report.thumbnails import Filmstrip, Thumbnails

_FAR = 0.75  # of its range: rewards so far apart judge a completion differently
_ORDER = ("disagreeing", "best", "worst", "last", "first")
ANSWERS_DIFFER, REWARDS_DIFFER = "answers disagree", "rewards disagree"


class ShownCompletion(NamedTuple):
    """One completion as the report shows it."""

    key: str  # tells it from all others of its run, also when the page is written anew
    why: str  # it was picked
    step: int
    reward: str  # in all; empty where no reward had an opinion
    gold: str  # empty where none was saved
    outcome: str  # of its answers, empty where that was not looked at
    words: str  # how it begins
    differs: list[str]  # what disagrees in it
    answers: dict[str, str]  # words on them, by the name to show
    rewards: dict[str, str]  # by name
    prompt: str
    trace: str
    completion: str
    others: dict[str, str]  # what a method or a reward saved of its own
    images: Filmstrip = Filmstrip()  # of the prompt
    calls: Sequence[ShownCall] = ()  # of tools


def pick_samples(
    rows: Sequence[Row], limit: int = 40, thumbnails: Thumbnails | None = None, weights: Weights = UNKNOWN
) -> list[ShownCompletion]:
    """Picks a bounded sample of completions: disagreeing ones, the best, the worst, the last and the first.

    Disagreeing rows are those whose second answer is not the first, by descending advantage (what the update pushed
    towards although trace and answer do not belong together), then those that one reward finds good and another bad.
    """
    totals = [total_reward(row, weights) for row in rows]
    spread = _spread_of_rewards(rows, weights)
    ends = max(1, limit // 5)
    by_place = dict.fromkeys(range(min(ends, len(rows))), "first")
    by_place |= {index: "last" for index in range(max(0, len(rows) - ends), len(rows)) if index not in by_place}
    for index, why in _telling(rows, totals, spread):
        if len(by_place) >= limit:
            break
        by_place.setdefault(index, why)
    order = sorted(by_place, key=lambda index: _ORDER.index(by_place[index]))  # stable: the most telling lead
    keys = _keys(rows)
    samples = []
    for index in order[:limit]:
        row, images = rows[index], Filmstrip()
        differs = [ANSWERS_DIFFER] if answers_disagree(row) else []
        differs += [REWARDS_DIFFER] if spread[index] >= _FAR else []
        if thumbnails is not None:
            images = thumbnails.strip(row.get("images"))
        samples.append(_sample(row, weights, keys[index], by_place[index], totals[index], differs, images))
    return samples


def _telling(
    rows: Sequence[Row], totals: Sequence[float | None], spread: NDArray[np.float64]
) -> Iterator[tuple[int, str]]:
    """Takes turns between rows that disagree, the best and the worst, each text once."""
    split = sorted(
        (i for i, row in enumerate(rows) if answers_disagree(row)), key=lambda i: -number(rows[i].get("advantage"))
    )
    apart = sorted(np.flatnonzero(spread >= _FAR).tolist(), key=lambda i: -spread[i])
    known = {i: total for i, total in enumerate(totals) if total is not None}
    ranked = sorted(known, key=lambda i: known[i]) if len(set(known.values())) > 1 else []
    queues = (
        ((i, "disagreeing") for i in _each_once(rows, [*split, *apart])),
        ((i, "best") for i in _each_once(rows, ranked[::-1])),
        ((i, "worst") for i in _each_once(rows, ranked)),
    )
    yield from (pick for pick in chain.from_iterable(zip_longest(*queues)) if pick is not None)


def _each_once(rows: Sequence[Row], places: Sequence[int]) -> Iterator[int]:
    seen = set()
    for place in places:
        text = (str(rows[place].get("prompt")), completion_words(rows[place]))
        if text not in seen:
            seen.add(text)
            yield place


def _spread_of_rewards(rows: Sequence[Row], weights: Weights) -> NDArray[np.float64]:
    found = [rewards_of(row, weights) for row in rows]
    names = list(dict.fromkeys(name for given in found for name in given if not is_raw(name, weights)))
    numbers = ((given.get(name) for name in names) for given in found)
    values = np.array([[x if isinstance(x, int | float) else math.nan for x in row] for row in numbers], dtype=float)
    if len(rows) == 0 or len(names) < 2:
        return np.zeros(len(rows))
    with np.errstate(all="ignore"):
        least, most = np.fmin.reduce(values), np.fmax.reduce(values)
        shares = (values - least) / (most - least)
    shares = shares[:, np.isfinite(most - least) & (most > least)]
    if shares.shape[1] < 2:
        return np.zeros(len(rows))
    return np.nan_to_num(np.fmax.reduce(shares, axis=1) - np.fmin.reduce(shares, axis=1))


def _keys(rows: Sequence[Row]) -> list[str]:
    """Names rows by their step and their place in it, which more steps do not change."""
    met: Counter[Any] = Counter()
    keys = []
    for row in rows:
        met[row.get("step")] += 1
        keys.append(f"{row.get('step')}-{met[row.get('step')]}")
    return keys


def _sample(
    row: Row, weights: Weights, key: str, why: str, total: float | None, differs: list[str], images: Filmstrip
) -> ShownCompletion:
    answers = {label: _short(row[name]) for name, label in ANSWERS.items() if name in row}
    if "correct" in answers:
        answers["correct"] = outcome_of(row) or "none"
    gold = gold_of(row)
    numbers = rewards_of(row, weights) | ({"advantage": row["advantage"]} if "advantage" in row else {})
    return ShownCompletion(
        key=key,
        why=why,
        step=int(row.get("step", 0)),
        reward="" if total is None else f"{total:.2f}",
        gold=gold,
        outcome=outcome_of(row),
        words=first_words(row),
        differs=differs,
        answers=({"gold": gold} if gold else {}) | answers,
        rewards={name: _short(value) for name, value in numbers.items()},
        prompt=in_words(row.get("prompt")),
        trace=in_words(row.get("trace")),
        completion=in_words(row.get("completion")),
        others=other_texts(row, weights),
        images=images,
        calls=shown_calls(row),
    )


def _short(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return "none" if math.isnan(value) else f"{value:.2f}"
    if isinstance(value, list | tuple):
        return " ".join(map(_short, value))
    return str(value)
