"""What a student finds likely: traces by source and by correctness, and steps by their place."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from align.auditing.features import FEWEST
from align.auditing.tested import Values
from align.whole_files import whole_file

if TYPE_CHECKING:
    from align.auditing.traces import ScoredTrace, TraceData

TRACES_FILE = "traces.jsonl"
QUANTILES = (5, 25, 50, 75, 95)  # in percent
_SURE = 1.96
_MOST_STEPS = 12
_MOST_SOURCES = 50
_DIGITS = 6


@dataclass(frozen=True)
class GroupScore:
    """The traces of a group, in nats a token.

    Attributes:
        group: Its name.
        n: Traces.
        mean: Of their mean negative log-likelihoods.
        low: End of its 95 % interval; traces of one prompt depend on each other. None for one prompt.
        high: Other end.
        quantiles: Of the traces, at 5, 25, 50, 75 and 95 %.
        worst_step: The same of each trace's least likely step.
    """

    group: str
    n: int
    mean: float
    low: float | None
    high: float | None
    quantiles: list[float]
    worst_step: list[float]


@dataclass(frozen=True)
class StepScore:
    """The steps in one place.

    Attributes:
        step: Its number, from 1.
        n: Traces that have it.
        mean: Of its mean negative log-likelihood.
    """

    step: int
    n: int
    mean: float


@dataclass(frozen=True)
class TraceFinding:
    """How likely a student finds the traces.

    Attributes:
        model: The student.
        n: Traces.
        num_tokens: Of all traces.
        groups: All traces, then by source, then by correctness.
        steps: By place.
    """

    model: str
    n: int
    num_tokens: int
    groups: list[GroupScore]
    steps: list[StepScore]


def find_scores(
    data: "TraceData", scored: Sequence["ScoredTrace"], model: str
) -> tuple[TraceFinding | None, list[str]]:
    """Puts scores together; returns sentences on what cannot be said."""
    sentences = [
        f"{count:,} traces {why}, and were not scored by {model}."
        for count, why in (
            (data.num_long, f"are longer than the {data.window:,} tokens that the model reads, with their prompt"
             if data.window else ""),
            (data.num_with_images, "belong to rows with images, which a text alone does not ask about"),
            (data.num_empty, "have no token in them"),
        )
        if count
    ]  # fmt: skip
    if len(scored) < FEWEST:
        return None, [*sentences, f"There are {len(scored)} traces that can be scored, and quantiles need {FEWEST}."]
    groups = [_group("all", scored)]
    for part, key in (("source", lambda each: each.source), ("", lambda each: _rightness(each.correct))):
        found, few = _by(scored, key)
        groups += [_group(f"{part} {name}".strip(), members) for name, members in found]
        if few:
            listed = ", ".join(f"{part} {name} ({count})".strip() for name, count in few)
            sentences.append(f"Fewer than {FEWEST} traces are of {listed}: their quantiles would say little.")
    if all(each.correct is None for each in scored):
        sentences.append("Nothing says which traces are right: name a column with `--correct_column`.")
    num_tokens = sum(each.num_tokens for each in scored)
    return TraceFinding(model, len(scored), num_tokens, groups, _steps(scored)), sentences


def clustered_interval(values: Values, clusters: Sequence[int]) -> tuple[float, float] | None:
    """Computes the 95 % interval of a mean over values that depend on each other within clusters, two at least.

    Example:
        >>> low, high = clustered_interval(np.array([1.0, 2.0, 3.0, 6.0]), [0, 0, 1, 1])
        >>> round(3 - low, 3), round(high - 3, 3)  # residuals -2 -1, 0 3: sqrt(2 * (9 + 9)) / 4 = 1.5
        (2.94, 2.94)
    """
    mean, n = float(values.mean()), len(values)
    _, at = np.unique(clusters, return_inverse=True)
    sums = np.bincount(at, weights=values - mean)
    num = len(sums)
    if num < 2:
        return None
    reach = _SURE * float(np.sqrt(num / (num - 1) * (sums**2).sum())) / n
    return mean - reach, mean + reach


def write_traces(scored: Sequence["ScoredTrace"], folder: Path) -> Path:
    """Writes the score of each trace, with the share of traces that are at most as unlikely, to select by."""
    values = np.array([each.nll for each in scored])
    shares = np.searchsorted(np.sort(values), values, side="right") / max(1, len(values))
    with (
        whole_file(folder / TRACES_FILE) as path,
        path.open("w", encoding="utf-8", errors="backslashreplace") as opened,  # of half a surrogate pair in an id
    ):
        for each, share in zip(scored, shares.tolist(), strict=True):
            row = {
                "file": each.file, "row": each.row, "id": each.id, "source": each.source, "correct": each.correct,
                "tokens": each.num_tokens, "nll": round(each.nll, _DIGITS), "quantile": round(share, _DIGITS),
                "steps": [round(step, _DIGITS) for step in each.steps],
            }  # fmt: skip
            opened.write(json.dumps(row, ensure_ascii=False) + "\n")
    return folder / TRACES_FILE


def _by(
    scored: Sequence["ScoredTrace"], key: Callable[["ScoredTrace"], str | None]
) -> tuple[list[tuple[str, list["ScoredTrace"]]], list[tuple[str, int]]]:
    """Parts traces by a key: groups that are large enough, the largest first, and names and sizes of the others."""
    parts: dict[str, list[ScoredTrace]] = {}
    for each in scored:
        if (name := key(each)) is not None:
            parts.setdefault(name, []).append(each)
    ordered = sorted(parts.items(), key=lambda part: (-len(part[1]), part[0]))
    large = [part for part in ordered if len(part[1]) >= FEWEST][:_MOST_SOURCES]
    few = [(name, len(members)) for name, members in ordered if len(members) < FEWEST]
    return large, few[:_MOST_STEPS]


def _rightness(correct: bool | None) -> str | None:
    return None if correct is None else "right" if correct else "wrong"


def _group(name: str, members: Sequence["ScoredTrace"]) -> GroupScore:
    values = np.array([each.nll for each in members])
    interval = clustered_interval(values, [each.prompt for each in members])
    low, high = (None, None) if interval is None else map(_rounded, interval)
    worst = np.array([max(each.steps) for each in members])
    return GroupScore(
        name, len(members), _rounded(values.mean()), low, high,
        [_rounded(each) for each in np.percentile(values, QUANTILES)],
        [_rounded(each) for each in np.percentile(worst, QUANTILES)],
    )  # fmt: skip


def _steps(scored: Sequence["ScoredTrace"]) -> list[StepScore]:
    found = []
    for place in range(_MOST_STEPS):
        values = [each.steps[place] for each in scored if len(each.steps) > place]
        if len(values) < FEWEST:
            break
        found.append(StepScore(place + 1, len(values), _rounded(np.mean(values))))
    return found


def _rounded(value: float | np.floating) -> float:
    return round(float(value), _DIGITS)
