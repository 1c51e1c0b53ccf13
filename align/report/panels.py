"""Which charts a report shows, and in which words."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

from align.report.charts import NUM_COLOURS, Chart, Line, draw_chart
from align.report.run_folder import Series

Metrics = Mapping[str, Series]


class Panel(NamedTuple):
    """A chart of one run: its words and the metrics in it, by their name in the legend."""

    title: str
    note: str
    keys: dict[str, str]
    share: bool = False
    stacked: bool = False
    colours: Sequence[int] = range(NUM_COLOURS)


_PANELS = (
    Panel(
        "Outcome of the two passes",
        "Completions that were asked again, by whether the first answer and the one after the shuffle are right.",
        {
            "acre/outcome_both": "both right",
            "acre/outcome_first_only": "only the first",
            "acre/outcome_second_only": "only the second",
            "acre/outcome_neither": "neither",
        },
        share=True,
        stacked=True,
        colours=(0, 1, 4, 5),
    ),
    Panel(
        "Answer and trace",
        "How often the answer survives a shuffle with the same trace, and how much of it the trace gives away.",
        {
            "acre/asked_again": "asked again",
            "acre/consistency_rate": "of these, answers agree",
            "acre/trace_names_letter": "trace names a letter",
            "acre/trace_quotes_answer": "trace quotes the answer",
        },
        share=True,
    ),
    Panel(
        "Completion length, tokens",
        "Mean over the batch.",
        {"completions/mean_length": "all", "completions/mean_terminated_length": "those that ended by themselves"},
    ),
    Panel(
        "Wasted completions",
        "Cut off at the token limit, or in a group whose completions all earn the same.",
        {"completions/clipped_ratio": "cut off", "frac_reward_zero_std": "group without spread"},
        share=True,
    ),
    Panel(
        "Time of a step, seconds",
        "The second pass is part of the step.",
        {"step_time": "step", "acre/second_pass_seconds": "second pass"},
    ),
    Panel(
        "Second pass, share of the step", "What ACRE adds to GRPO.", {"acre/second_pass_share": "share"}, share=True
    ),
    Panel("Loss", "The policy-gradient loss hovers around 0 by construction; watch the reward.", {"loss": "loss"}),
    Panel("Distance from the reference, nats", "KL per token; logged when `beta` is above 0.", {"kl": "KL"}),
    Panel("Gradient norm", "Before clipping.", {"grad_norm": "gradient norm"}),
    Panel("Learning rate", "As scheduled.", {"learning_rate": "learning rate"}),
)

_COMPARED = (
    Panel(
        "Right answers",
        "First answers in training, each run on its own questions.",
        {"acre/first_right": ""},
        share=True,
    ),
    Panel("Answers that survive a shuffle", "Same trace, other order.", {"acre/consistency_rate": ""}, share=True),
    Panel("Answers that are A", "In training.", {"acre/answer_share_A": ""}, share=True),
    Panel("Completion length, tokens", "Mean over the batch.", {"completions/mean_length": ""}),
    Panel("Groups without spread", "Groups that give no gradient.", {"frac_reward_zero_std": ""}, share=True),
    Panel("Time of a step, seconds", "On the same machine only if the runs were.", {"step_time": ""}),
)


def run_charts(metrics: Metrics) -> list[Chart]:
    """Draws the charts of one run; what it did not log is left out."""
    charts = [_reward_chart(metrics), *(_panel_chart(panel, metrics) for panel in _PANELS)]
    charts.insert(3, _letter_chart(metrics))
    return [chart for chart in charts if chart]


def comparison_charts(runs: Mapping[str, Metrics]) -> list[Chart]:
    """Draws one line per run for the quantities that mean the same in each of them.

    Rewards are left out: runs with different reward functions earn on different scales.
    """
    charts = []
    for panel in _COMPARED:
        found = [(name, metrics[key]) for name, metrics in runs.items() for key in panel.keys if key in metrics]
        lines = [Line(name, series, list(runs).index(name) % NUM_COLOURS) for name, series in found]
        if lines:
            charts.append(draw_chart(panel.title, panel.note, lines, share=panel.share))
    return charts


def _reward_chart(metrics: Metrics) -> Chart | None:
    parts = {key.split("/")[1]: key for key in metrics if key.startswith("rewards/") and key.endswith("/mean")}
    named = {"total": "reward"} | parts if len(parts) != 1 else {next(iter(parts)): "reward"}
    lines = _lines(metrics, {key: label for label, key in named.items()})
    return draw_chart("Reward", "Mean over the batch: the weighted total and each function.", lines) if lines else None


def _letter_chart(metrics: Metrics) -> Chart | None:
    lines: list[Line] = []
    for colour, key in enumerate(sorted(key for key in metrics if key.startswith("acre/answer_share_"))[:NUM_COLOURS]):
        letter = key.removeprefix("acre/answer_share_")
        lines.append(Line(letter, metrics[key], colour))
        gold = metrics.get(f"acre/gold_share_{letter}")
        if gold:
            lines.append(Line(f"{letter} in the gold", gold, colour, dashed=True))
    note = "Solid: share of the answers. Dashed: share of the gold. Lines of one colour should lie together."
    return draw_chart("Letters answered", note, lines, share=True) if lines else None


def _panel_chart(panel: Panel, metrics: Metrics) -> Chart | None:
    lines = _lines(metrics, panel.keys, panel.colours)
    if not lines or (panel.stacked and len(lines) < len(panel.keys)):
        return None
    return draw_chart(panel.title, panel.note, lines, share=panel.share, stacked=panel.stacked)


def _lines(metrics: Metrics, labels: Mapping[str, str], colours: Sequence[int] = range(NUM_COLOURS)) -> list[Line]:
    present = [key for key in labels if key in metrics]
    return [Line(labels[key], metrics[key], colour) for key, colour in zip(present, cycle(colours), strict=False)]
