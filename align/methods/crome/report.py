"""What runs that train a reward model on pairs put on their page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from align.data.pairs.reward_pairs import CAUSAL, DEFAULT_SOURCE
from align.evaluation.statistics.metrics import less, magnitude, told
from align.report.charts.drawing import NUM_COLOURS, Chart
from align.report.charts.panel import Metrics, Panel, draw_panel
from align.report.run.finding import Sign, above, first, held_out, last, percent, stays_at_log_two
from align.report.run.folder import RunFolder
from align.report.run.method_parts import LENGTH, ReportParts, step_time_chart

ACCURACY, MARGIN = "crome/accuracy_", "crome/margin_"
_ALL = NUM_COLOURS - 1  # the grey one
_ORDER = {name: place for place, name in enumerate((DEFAULT_SOURCE, *CAUSAL))}

PANELS = (
    Panel(
        "Margin of ties",
        "Mean distance between two answers of which none is better, in reward. It should stay far below the margin "
        "of pairs with an order.",
        {"crome/tie_margin": "ties", "margin": "pairs with an order"},
        beside="crome/tie_margin",
        colours=(1, _ALL),
    ),
    Panel(
        "Reward",
        "Lowest, mean and highest of a batch. Only differences are learnt, so the mean may wander. A pairwise model's "
        "are logit(A) - logit(B) in both orders, and their mean is a liking for the first place.",
        {"max_reward": "highest", "mean_reward": "mean", "min_reward": "lowest"},
        colours=(2, 0, 1),
    ),
    Panel(
        "Loss",
        "Of pairs with an order, plus `tie_coef` times that of ties. Both begin near 0.69, the least for ties.",
        {"loss": "loss"},
        beside="mean_reward",
    ),
)

COMPARED = (
    Panel(
        "Accuracy of the reward model",
        "In training, each run on its own pairs with an order. Edits are easier than preferences.",
        {"accuracy": ""},
        beside="mean_reward",
        share=True,
    ),
    Panel("Accuracy, preference", "Of pairs that were not made.", {f"{ACCURACY}preference": ""}, share=True),
    Panel("Accuracy, upgrade", "Is the edited answer above its original?", {f"{ACCURACY}upgrade": ""}, share=True),
    Panel("Accuracy, degrade", "Is the edited answer below its original?", {f"{ACCURACY}degrade": ""}, share=True),
    Panel(
        "Margin of pairs with an order",
        "In reward, whose scale is each run's own.",
        {"margin": ""},
        beside="mean_reward",
    ),
    Panel("Margin of ties", "In reward. Compare it with the margin beside it.", {"crome/tie_margin": ""}),
)


def sources_of(metrics: Metrics) -> list[str]:
    """Lists the sources of pairs with an order: preferences, edits, then the others by name."""
    names = {key.removeprefix(ACCURACY) for key in metrics if key.startswith(ACCURACY)}
    return sorted(names, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))


def source_charts(metrics: Metrics) -> list[Chart | None]:
    """Draws accuracy and margin of all pairs with an order, and by source where there are several."""
    if "mean_reward" not in metrics:
        return []
    sources = sources_of(metrics) if len(sources_of(metrics)) > 1 else []
    shown = sources[:_ALL]
    more = f" {len(sources) - _ALL} more sources are in metrics.jsonl." if len(sources) > _ALL else ""
    accuracy = Panel(
        "Accuracy",
        f"Pairs with an order whose chosen answer is scored above the rejected one.{more}",
        {"accuracy": "all", **{f"{ACCURACY}{name}": name for name in shown}},
        share=True,
        colours=(_ALL, *range(_ALL)),
    )
    margin = Panel(
        "Margin",
        f"Reward of the chosen answer minus that of the rejected one.{more}",
        {"margin": "all", **{f"{MARGIN}{name}": name for name in shown}},
        colours=(_ALL, *range(_ALL)),
    )
    return [draw_panel(accuracy, metrics), draw_panel(margin, metrics)]


FACTS = {
    **LENGTH,
    "per_device_train_batch_size": "Pairs per device and pass",
    "model_type": "Type of model",
    "tie_coef": "Weight of ties (tie_coef)",
    "center_rewards_coefficient": "Pull of rewards to 0",
    "max_length": "Longest prompt and response, tokens",
}


def _charts(metrics: Metrics) -> Sequence[Chart | None]:
    return [
        *source_charts(metrics),
        step_time_chart(metrics),
        *(draw_panel(panel, metrics) for panel in PANELS),
    ]


_LEARNT = 0.6  # accuracy, below which margins say nothing
_WELL_LEARNT = 0.8
_GAP = 0.15  # accuracy in training over that on held-out pairs
_HALF = 0.5  # of what separates good answers from bad ones


def _log_two(run: RunFolder) -> list[Mapping[str, Any]]:
    return [{}] * ("accuracy" in run.metrics and stays_at_log_two(run.metrics))  # ties alone should stay there


def _ties(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    tie, margin = last(run.metrics, "crome/tie_margin"), last(run.metrics, "margin")
    has_grown = less(tie, first(run.metrics, "crome/tie_margin")).low > 0
    if has_grown and above(run.metrics, "accuracy", _LEARNT) and less(tie, margin, _HALF).low > 0:
        yield {"tie": told(tie), "margin": margin.value}


def _fails_at_a_source(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    accuracies = {name: last(run.metrics, f"{ACCURACY}{name}") for name in sources_of(run.metrics)}
    low = {name: found for name, found in accuracies.items() if found.high < _LEARNT}
    high = {name: found for name, found in accuracies.items() if found.low > _WELL_LEARNT}
    if low and high:
        worst, best = min(low, key=lambda name: low[name]), max(high, key=lambda name: high[name])
        why = "Either its labels are noise, or they follow something that the other pairs do not."
        if {worst, best} == set(CAUSAL):
            why = (
                "The edited answer wins in one of the two and loses in the other: what is learnt is the style of the "
            )
            why += "editor."
        yield {"low": percent(low[worst]), "worst": worst, "high": percent(high[best]), "best": best, "why": why}


def _by_heart(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    for key, pairs in ((f"{ACCURACY}preference", "preference pairs"), ("accuracy", "pairs")):
        trained, held = last(run.metrics, key), held_out(run.metrics, key, is_share=True)
        if less(trained, held).low > _GAP:
            yield {"trained": percent(trained), "pairs": pairs, "held": percent(held)}
            return


def _place(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    end, margin = last(run.metrics, "mean_reward"), last(run.metrics, "margin")
    if _is_pairwise(run) and less(magnitude(end), magnitude(margin), _HALF).low > 0:
        yield {"letter": "A" if end.value > 0 else "B", "liked": told(magnitude(end)), "margin": margin.value}


def _moved(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    start, end = first(run.metrics, "mean_reward"), last(run.metrics, "mean_reward")
    apart = less(last(run.metrics, "max_reward"), last(run.metrics, "min_reward"))
    if not _is_pairwise(run) and less(magnitude(less(end, start)), apart).low > 0:
        yield {"start": start.value, "end": told(end)}


def _is_pairwise(run: RunFolder) -> bool:
    return bool(run.recipe.get("model_type") == "pairwise")


SIGNS = (
    Sign("The loss stays at log 2: the model scores chosen and rejected answers alike",
         "Raise `learning_rate` (adapters take ten times that of all weights), look whether labels are right and "
         "answers differ in what the model reads. Where most pairs are ties, see `crome/accuracy_preference`.",
         _log_two),
    Sign("Tied pairs get a margin of {tie}, ordered pairs {margin:.2g}: the model separates ties more than it should",
         "What tells them apart is decoration, such as length, tone or layout, and the model rewards it. Raise "
         "`tie_coef`, or add ties: those of another question (`irrelevant_query`) need no oracle.", _ties),
    Sign("{low} of the {worst} pairs are told apart, {high} of the {best} pairs",
         "{why} Read some of them below; then check or filter them, or leave the source out.", _fails_at_a_source),
    Sign("{trained} of the {pairs} are told apart in training, {held} of held-out ones",
         "Reward models learn their pairs by heart within few epochs. Train for one, lower `learning_rate`, or use "
         "more pairs.", _by_heart),
    Sign("Answer {letter} is preferred by {liked} for its place, with a margin of {margin:.2g} between good and bad",
         "Scoring averages over both orders, so the order of answers does not decide. But as long as the place counts "
         "for so much, the answers count for little. Train longer.", _place),
    Sign("The mean reward moved from {start:.2g} to {end}, further than rewards of a batch lie apart",
         "Only differences are learnt, so accuracy does not suffer. But the rewards of two models cannot be compared, "
         "and bf16 rounds numbers far from 0. `center_rewards_coefficient: 0.01` keeps them near 0.", _moved),
)  # fmt: skip
REPORT = ReportParts(FACTS, _charts, SIGNS, COMPARED)
