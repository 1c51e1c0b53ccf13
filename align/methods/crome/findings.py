"""What looks wrong in runs that train a reward model: Bradley-Terry and Crome."""

import math

from align.data.pairs.reward_pairs import CAUSAL
from align.methods.crome.panels import ACCURACY, sources_of
from align.report.charts.panel import Metrics
from align.report.run.finding import Finding, early, percent, recent, stays_at_log_two

_LEARNT = 0.6  # accuracy, below which margins say nothing
_WELL_LEARNT = 0.8
_TIE_TO_MARGIN = 0.5  # half of what separates good answers from bad ones
_GAP = 0.15  # accuracy in training over that on held-out pairs
_PLACE_TO_MARGIN = 0.5


def find_reward_problems(metrics: Metrics, pairwise: bool) -> list[Finding]:
    """Lists what looks wrong in accuracies, ties and rewards.

    Args:
        metrics: What the run logged.
        pairwise: Whether the model reads both answers at once, so that its rewards are those of places.
    """
    offset = _prefers_a_place(metrics) if pairwise else _drifts(metrics)
    found = (
        _learns_nothing(metrics),
        _rewards_decoration(metrics),
        _fails_at_a_source(metrics),
        _learns_by_heart(metrics),
        offset,
    )
    return [finding for finding in found if finding]


def _learns_nothing(metrics: Metrics) -> Finding | None:
    if "accuracy" not in metrics or not stays_at_log_two(metrics):  # a run of ties alone should stay there
        return None
    return Finding(
        "The loss stays at log 2: the model scores chosen and rejected answers alike",
        "Raise `learning_rate` (adapters take ten times that of all weights), look whether labels are right and "
        "answers differ in what the model reads. Where most pairs are ties, see `crome/accuracy_preference`.",
    )


def _rewards_decoration(metrics: Metrics) -> Finding | None:
    tie, margin = recent(metrics, "crome/tie_margin"), recent(metrics, "margin")
    grown = tie > early(metrics, "crome/tie_margin")
    if not (grown and tie > _TIE_TO_MARGIN * margin and recent(metrics, "accuracy") > _LEARNT):
        return None
    return Finding(
        f"Answers of which none is better are scored {tie:.2g} apart, those of which one is {margin:.2g}",
        "What tells them apart is decoration, such as length, tone or layout, and the model rewards it. Raise "
        "`tie_coef`, or add ties: those of another question (`irrelevant_query`) need no oracle.",
    )


def _fails_at_a_source(metrics: Metrics) -> Finding | None:
    accuracies = {recent(metrics, f"{ACCURACY}{name}"): name for name in sources_of(metrics)}
    lowest, highest = (pick(filter(math.isfinite, accuracies), default=math.nan) for pick in (min, max))
    if not (lowest < _LEARNT and highest > _WELL_LEARNT):
        return None
    worst, best = accuracies[lowest], accuracies[highest]
    why = (
        "The edited answer wins in one of the two and loses in the other: what is learnt is the style of the editor."
        if {worst, best} == set(CAUSAL)
        else "Either its labels are noise, or they follow something that the other pairs do not."
    )
    return Finding(
        f"{percent(lowest)} of the {worst} pairs are told apart, {percent(highest)} of the {best} pairs",
        f"{why} Read some of them below; then check or filter them, or leave the source out.",
    )


def _learns_by_heart(metrics: Metrics) -> Finding | None:
    for key, pairs in ((f"{ACCURACY}preference", "preference pairs"), ("accuracy", "pairs")):
        trained, held_out = recent(metrics, key), recent(metrics, f"eval_{key}")
        if trained - held_out > _GAP:
            return Finding(
                f"{percent(trained)} of the {pairs} are told apart in training, {percent(held_out)} of held-out ones",
                "Reward models learn their pairs by heart within few epochs. Train for one, lower `learning_rate`, or "
                "use more pairs.",
            )
    return None


def _drifts(metrics: Metrics) -> Finding | None:
    start, end = early(metrics, "mean_reward"), recent(metrics, "mean_reward")
    spread = recent(metrics, "max_reward") - recent(metrics, "min_reward")
    if not abs(end - start) > spread:
        return None
    return Finding(
        f"The mean reward moved from {start:.2g} to {end:.2g}, further than the rewards of a batch lie apart",
        "Only differences are learnt, so accuracy does not suffer. But the rewards of two models cannot be compared, "
        "and bf16 rounds numbers far from 0. `center_rewards_coefficient: 0.01` keeps them near 0.",
    )


def _prefers_a_place(metrics: Metrics) -> Finding | None:
    place, margin = recent(metrics, "mean_reward"), recent(metrics, "margin")
    if not abs(place) > _PLACE_TO_MARGIN * abs(margin):
        return None
    return Finding(
        f"Answer {'A' if place > 0 else 'B'} is preferred by {abs(place):.2g} for its place, with a margin of "
        f"{margin:.2g} between good and bad",
        "Scoring averages over both orders, so the order of answers does not decide. But as long as the place counts "
        "for so much, the answers count for little. Train longer.",
    )
