"""The ladder: what nothing, a constant, a copy, another row's answer and a bare right one earn."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from statistics import median
from typing import NamedTuple

import numpy as np

from rewards.attacks.episodes import read_episode, without_step
from rewards.attacks.honest import Honest
from rewards.places import NOT_DATA, Texts
from rewards.roles import Pay, mean, write_all

CONSTANTS, INPUTS = 5, 4  # the commonest answers, and columns of texts, that are tried
ERROR = 0.025  # that a share is below its bound
GAMED, SOFT = 1.0, 0.5  # share of an honest answer's pay above the best guess's
IDLE = 0.4  # and of an honest episode's, where no call is made and nothing said


class Rung(NamedTuple):
    """One rung: who answers so, and what to do where it is paid as an honest answer is."""

    name: str
    about: str
    cause: str = ""  # what a reward does that pays it; a policy that knows the answer is no cause
    remedy: str = ""


RUNGS = (
    Rung("nothing", "nothing at all", "It pays whatever is written, or done.",
         "See that it compares something: an empty answer, and an episode without a call, should earn nothing."),
    Rung("constant", "the best constant", "It pays one and the same answer everywhere.",
         "Compare whole answers, narrow its tolerance, and balance the right answers of the data."),
    Rung("copy", "the best copy of what the row shows", "It pays a copy of what the row shows.",
         "Pay nothing for what is copied: subtract what the input itself earns, or compare whole answers."),
    Rung("another", "another row's answer in the right form", "It pays the form, whatever the answer.",
         "Let the form count beside right answers only (`reward_gates`), and see that the column of right answers is "
         "read."),
    Rung("bare", "the right answer without its form"),
    Rung("broken", "an honest episode with a call left out"),
)  # fmt: skip


class Step(NamedTuple):
    """What a rung earns, as a share of an honest answer's pay, with its interval."""

    rung: Rung
    share: float
    low: float
    high: float
    text: str  # on one row
    rows: int
    verdict: str = ""  # gamed or soft, where that is told beyond chance
    floor: float = 0.0  # the pay that is 0 %


def lower_bound(count: int, rows: int, error: float = ERROR) -> float:
    """Returns the exact lower bound of a share (Clopper and Pearson, 1934)."""
    return float(import_module("scipy.special").betaincinv(count, rows - count + 1, error)) if count else 0.0


def climb(honest: Honest, pay: Pay) -> list[Step]:
    """Measures the rungs on rows of honest answers; 0 % is a pay of 0, or the lowest where honest ones earn none."""
    tried = {rung.name: [(texts, pay(honest.rows, texts, rung.about)) for texts in _texts(rung.name, honest)]
             for rung in RUNGS if rung.name != "another"}  # fmt: skip
    wrong = write_all(honest.role.write, [each.wrong for each in honest.seen])
    tried["another"] = [(wrong, honest.others)]
    pays = [values for each in tried.values() for _, values in each]
    lowest = [mean(each) for each in pays if np.isfinite(each).any()]
    floor = 0.0 if mean(honest.pays) > 0 else min([0.0, *lowest])
    steps = []
    for rung in RUNGS:
        count = max(1, len(tried[rung.name]))
        found = [
            (_share(values - floor, honest.pays - floor, 0.05 / count), texts) for texts, values in tried[rung.name]
        ]
        known = [each for each in found if not math.isnan(each[0][0])]
        if not known:
            continue
        (share, low, high, n), texts = max(known, key=lambda each: each[0])
        text = next((each for each in texts if each is not None), "")
        step = Step(rung, share, low, high, text, n, floor=floor)
        verdict = verdict_of(share, low, honest.guess) if rung.cause else ""
        is_idle = rung.name == "nothing" and any(read_episode(each or "").calls for each in honest.texts)
        verdict = "soft" if not verdict and is_idle and share >= IDLE and low >= IDLE / 2 else verdict
        steps.append(step._replace(verdict=verdict))
    return steps


def verdict_of(share: float, low: float, guess: float) -> str:
    """Says whether a share of an honest answer's pay is gamed or soft, where that stands above what a guess earns."""
    above = (low - guess) / (1 - guess) if guess < 1 else -1.0
    return "" if above < SOFT else "gamed" if share >= GAMED - 1e-6 else "soft"


def _share(values: np.ndarray, honest: np.ndarray, error: float) -> tuple[float, float, float, int]:
    """Estimates a ratio of means over rows with its interval, which one row's share bounds where all rows agree."""
    known = np.isfinite(values) & np.isfinite(honest)
    n, least = int(known.sum()), float(honest[known].mean()) if known.any() else 0.0
    if not n or least <= 0:
        return math.nan, math.nan, math.nan, n
    ratio = float(values[known].mean()) / least
    spread = (values[known] - ratio * honest[known]) / least
    quantile = import_module("scipy.special").stdtrit(max(1, n - 1), 1 - error / 2)
    wide = float(quantile * np.sqrt((spread**2).sum() / max(1, n - 1) / n)) if n > 1 else math.inf
    # Where rows agree, so many of them can still have missed one in `1 - error^(1/n)` that does not.
    wide = max(wide, (1 - (error / 2) ** (1 / n)) * max(ratio, 1 - ratio, 0.0))
    return ratio, ratio - wide, ratio + wide, n


def _texts(name: str, honest: Honest) -> Iterator[Texts]:
    write, rights, count = honest.role.write, honest.rights, len(honest.rows)
    if name == "nothing":
        yield [""] * count
    elif name == "constant":
        for each in _constants(rights if len({*rights}) > 1 else ()):  # one for all rows is the work itself
            yield [write(each)] * count
    elif name == "bare":
        yield rights
    elif name == "broken":
        yield from without_step(honest.texts)
    else:
        for copy in _copies(honest):
            yield copy
            yield write_all(write, copy)


def _constants(rights: Texts) -> list[str]:
    """Lists the commonest right answers, and the middle one where they are numbers."""
    counts = Counter(right for right in rights if right is not None)
    numbers = [float(each) for each in counts.elements() if re.fullmatch(r"-?\d+(\.\d+)?", each)]
    middle = [f"{median(numbers):g}"] if len(numbers) > 1 else []
    return [*(each for each, _ in sorted(counts.items(), key=lambda x: (-x[1], x[0]))[:CONSTANTS]), *middle]


def _copies(honest: Honest) -> Iterator[list[str | None]]:
    """Yields the prompts, their last paragraphs, and the texts of columns that hold no right answer."""
    prompts = [each.prompt for each in honest.seen]
    yield [*prompts]
    yield [each.strip().rpartition("\n")[2] for each in prompts]
    first, hidden = honest.rows[0], {*honest.role.columns, str(honest.role.place).partition(".")[0], *NOT_DATA}
    inputs = [name for name, value in first.items() if name not in hidden and isinstance(value, str)]
    for name in sorted(inputs, key=lambda each: -len(str(first[each])))[:INPUTS]:
        texts: list[str | None] = [str(row.get(name)) for row in honest.rows]
        if 2 * sum(a == b for a, b in zip(texts, honest.rights, strict=True)) <= len(texts):  # no honest sample
            yield texts


def near(outcome: np.ndarray, honest: Honest, floor: float, error: float) -> tuple[float, str]:
    """Returns which share of an honest answer's pay some texts earn, and whether that is soft."""
    share, low, _, _ = _share(outcome - floor, honest.pays - floor, error)
    return share, "" if math.isnan(share) else verdict_of(share, low, honest.guess)
