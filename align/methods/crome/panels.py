"""The charts of runs that train a reward model: Bradley-Terry and Crome."""

from align.data.pairs.reward_pairs import CAUSAL, DEFAULT_SOURCE
from align.report.charts.drawing import NUM_COLOURS, Chart
from align.report.charts.panel import Metrics, Panel, draw_panel

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
