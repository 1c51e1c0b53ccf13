"""Everything that is measured of a reward model, and of several on the same pairs."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from align.data.conversations import Message
from align.data.pairs.candidates import Candidates
from align.data.pairs.reward_bench import BenchPair
from align.data.pairs.reward_bench_2 import TIES, BenchItem
from align.errors import DataError
from align.evaluation.heuristics import against_heuristics, count_markdown, heuristic_scores, heuristics_on_pairs
from align.evaluation.record.details import ALL_SCORED, GainsOfPhrases, OfScores, SubsetOfPairs, Unscored
from align.evaluation.statistics.item_means import ItemMean, bounds_of, mean_of_items
from align.evaluation.statistics.metrics import Estimate, Values, pair_accuracy
from align.evaluation.suite import Measured
from align.evaluation.suites.reward_model.best_of_n import Choice, choose_best, curve_points, expected_best_of_n
from align.evaluation.suites.reward_model.pair_metrics import (
    accuracy_by_category,
    best_is_right,
    count_unscored,
    prompts_of,
    rank_correlation,
    reward_bench_2_metrics,
)
from align.evaluation.suites.reward_model.phrases import measure_phrases, mine_phrases
from align.evaluation.suites.reward_model.slices import find_slices
from align.evaluation.suites.reward_model.transformations import TRANSFORMATIONS
from align.models.reward_model import RewardModel


@dataclass(frozen=True)
class ShortcutSettings:
    """What is looked for."""

    slices: bool = False  # whether features of responses are looked for that go with margins
    phrases: Sequence[str] = ()  # that are put into responses
    mine: bool = False  # whether phrases are looked for in slices
    position: str = "front"  # of phrases, one of `POSITIONS`
    most_pairs: int = 500  # into how many pairs phrases are put, drawn at random


Asked = TypeVar("Asked", BenchPair, BenchItem, Candidates)
NO_SHORTCUTS = ShortcutSettings()
WITHOUT_PROMPT: list[Message] = [{"role": "user", "content": ""}]  # many templates refuse a lone assistant message


@dataclass(frozen=True, kw_only=True)
class RewardResult(Measured):
    """What was measured of one reward model, with rank correlations and what an oracle chooses among the others."""

    margins: Values | None  # `(N,)`, nan where a pair has no score; None without pairs
    choices: list[Choice] | None  # for each prompt; None without candidates
    scores: list[list[float]] | None = None  # of the responses of each item of RewardBench 2, the right ones first
    found: OfScores = field(default_factory=OfScores)  # beside metrics: only what was looked for is set
    unscored: Unscored = ALL_SCORED  # pairs without a margin, by why


def evaluate_reward_model(
    model: RewardModel,
    pairs: Sequence[BenchPair],
    candidates: Sequence[Candidates] = (),
    *,
    items: Sequence[BenchItem] = (),
    probe_pairs: int | None = None,
    shortcuts: ShortcutSettings = NO_SHORTCUTS,
    seed: int = 0,
) -> RewardResult:
    """Measures a reward model that scores nothing too long (`on_too_long="nan"`); a seed decides all that is drawn."""
    means: dict[str, ItemMean] = {}
    others: dict[str, Estimate] = {}
    unscored, found = ALL_SCORED, OfScores()
    margins = _margins(model, pairs) if pairs else None
    choices = choose_best(model, candidates, seed=seed) if candidates else None
    scores = score_items(model, items) if items else None
    if margins is not None:
        unscored = count_unscored(model, margins, *_texts(pairs))
        if np.isnan(margins).all():
            raise DataError(unscored.sentence(len(pairs), "pairs"))
        right = pair_accuracy(margins)
        means |= accuracy_by_category(pairs, right)
        categories = [pair.category for pair in pairs]
        found.heuristics = against_heuristics(
            right, heuristics_on_pairs(*_texts(pairs)), prompts_of(pairs), categories
        )
        scale = float(np.nanmean(np.abs(margins))) or 1.0
        how: dict[str, Any] = {"position": shortcuts.position, "scale": scale}
        if shortcuts.slices:
            found.slices = find_slices(pairs, margins, scale=scale)
        if shortcuts.phrases:
            sample = _sample(pairs, shortcuts.most_pairs, seed)
            gains = measure_phrases(model, [pairs[i] for i in sample], margins[sample], shortcuts.phrases, **how)
            found.phrases = GainsOfPhrases(position=shortcuts.position, phrases=gains.phrases)
            means |= gains.means()
        if shortcuts.mine:
            found.mined = mine_phrases(model, pairs, margins, most_pairs=shortcuts.most_pairs, seed=seed, **how)
    if margins is not None and probe_pairs is not None:
        sample = _sample(pairs, probe_pairs, seed)
        probed, known = [pairs[i] for i in sample], margins[sample]
        means |= transformation_drops(model, probed, known, seed=seed)
        means["response_only_accuracy"] = response_only_accuracy(model, probed)
        others |= shortcut_correlations(probed, known, seed=seed)
    if choices is not None and any(row.quality is not None for row in candidates):
        quality, best = best_of_n_quality(candidates, choices)
        means, others = means | quality, others | best
    if scores is not None:
        means |= reward_bench_2_metrics(items, scores)
        found.heuristics = _items_against_heuristics(items, scores)
    return RewardResult(
        means=means, others=others, margins=margins, choices=choices, scores=scores, found=found, unscored=unscored
    )


def _sample(pairs: Sequence[BenchPair], most: int, seed: int) -> list[int]:
    return sorted(random.Random(seed).sample(range(len(pairs)), min(most, len(pairs))))


def score_items(model: RewardModel, items: Sequence[BenchItem]) -> list[list[float]]:
    """Scores all responses of each item, the right ones first; nan for those without a score."""
    responses = [(*item.chosen, *item.rejected) for item in items]
    prompts = [item.prompt for item, each in zip(items, responses, strict=True) for _ in each]
    found = iter(model.score(prompts, [text for each in responses for text in each]).tolist())
    return [[next(found) for _ in each] for each in responses]


def _items_against_heuristics(items: Sequence[BenchItem], scores: Sequence[Sequence[float]]) -> list[SubsetOfPairs]:
    """Compares which response scores highest with what each heuristic takes; ties have another measure."""
    rows = [(item, each) for item, each in zip(items, scores, strict=True) if item.subset != TIES]
    taken: dict[str, list[float]] = {}
    for item, _ in rows:
        responses = [*item.chosen, *item.rejected]
        for name, values in heuristic_scores([item.prompt] * len(responses), responses).items():
            taken.setdefault(name, []).append(best_is_right(values))
    return against_heuristics(
        np.array([best_is_right(each) for _, each in rows]),
        {name: np.array(values) for name, values in taken.items()},
        np.arange(len(rows)),
        [item.subset for item, _ in rows],
    )


def transformation_drops(
    model: RewardModel, pairs: Sequence[BenchPair], margins: Values, *, seed: int = 0
) -> dict[str, ItemMean]:
    """Measures how much accuracy is lost to each transformation that changes a pair."""
    drops = {}
    before = pair_accuracy(margins)
    for name, transform in TRANSFORMATIONS.items():
        changed = []
        for pair in pairs:
            chosen, rejected = transform(pair.chosen, pair.rejected, f"{seed}/{name}/{pair.id}")
            changed.append(replace(pair, chosen=chosen, rejected=rejected))
        moved = np.array([new != old for new, old in zip(changed, pairs, strict=True)])
        if moved.any():
            after = pair_accuracy(
                _margins(model, [pair for pair, is_new in zip(changed, moved, strict=True) if is_new])
            )
            drop = np.full(len(pairs), np.nan)
            drop[moved] = before[moved] - after
            drops[f"accuracy_drop/{name}"] = ItemMean((drop,), bounds=(-1.0, 1.0), clusters=(prompts_of(pairs),))
    return drops


def response_only_accuracy(model: RewardModel, pairs: Sequence[BenchPair]) -> ItemMean:
    """Measures accuracy with the prompt removed; far above one half, the responses alone give the order away."""
    without = [replace(pair, prompt="" if isinstance(pair.prompt, str) else WITHOUT_PROMPT) for pair in pairs]
    return ItemMean((pair_accuracy(_margins(model, without)),), clusters=(prompts_of(pairs),))


def shortcut_correlations(pairs: Sequence[BenchPair], margins: Values, *, seed: int = 0) -> dict[str, Estimate]:
    """Correlates margins with what the responses differ in besides quality: length and format."""
    length = [len(pair.chosen) - len(pair.rejected) for pair in pairs]
    marks = [count_markdown(pair.chosen) - count_markdown(pair.rejected) for pair in pairs]
    return {
        "length_correlation": rank_correlation(margins, length, seed=seed, clusters=prompts_of(pairs)),
        "format_correlation": rank_correlation(margins, marks, seed=seed, clusters=prompts_of(pairs)),
    }


def best_of_n_quality(
    rows: Sequence[Candidates], choices: Sequence[Choice]
) -> tuple[dict[str, ItemMean], dict[str, Estimate]]:
    """Gives the mean true quality, where it is known, of what is chosen from n candidates, and of the best of most."""
    points = curve_points(rows)
    known = [row.quality for row in rows if row.quality is not None]
    bounds = bounds_of(*map(np.array, known))
    unknown = [math.nan] * len(points)
    chosen = np.array([choice.quality or unknown for choice in choices], dtype=float)  # (prompts, points)
    best = np.array([expected_best_of_n(each, each, points[-1]) for each in known])
    means = {f"best_of_{n}": ItemMean((chosen[:, k],), bounds=bounds) for k, n in enumerate(points)}
    return means, {f"best_of_{points[-1]}/oracle": mean_of_items(best, bounds)}


def as_messages(rows: Sequence[Asked]) -> list[Asked]:
    """Makes prompts that are texts messages of a user, so that a chat template is put around them."""
    return [
        replace(row, prompt=[{"role": "user", "content": row.prompt}]) if isinstance(row.prompt, str) else row
        for row in rows
    ]


def _margins(model: RewardModel, pairs: Sequence[BenchPair]) -> Values:
    return model.margins(*_texts(pairs))


def _texts(pairs: Sequence[BenchPair]) -> tuple[list[Any], list[str], list[str]]:
    return [pair.prompt for pair in pairs], [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
