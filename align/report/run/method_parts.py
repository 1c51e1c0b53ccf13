"""What a method puts on the page of a run, beside the charts that runs of every method have."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from align.methods import METHODS
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics, Panel, draw_comparison, draw_panel
from align.report.run.completions import REWARD_METRIC
from align.report.run.finding import Sign
from align.report.run.folder import RunFolder

LENGTH = {
    "max_steps": "Steps asked for",
    "num_train_epochs": "Epochs asked for",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
}
_SHARED = (
    Panel("Gradient norm", "Before clipping.", {"grad_norm": "gradient norm"}),
    Panel("Learning rate", "As scheduled.", {"learning_rate": "learning rate"}),
)
_COMPARED = (
    Panel("Time of a step, seconds", "On the same machine only if the runs were.", {"step_time": ""}),
    Panel("Gradient norm", "Before clipping.", {"grad_norm": ""}),
    Panel("Learning rate", "As scheduled.", {"learning_rate": ""}),
)
_OF_REWARDS = ("reward_funcs", "reward_weights", "reward_kwargs", "reward_gates", "reward_clip")
_PHASES = {
    "time/generate": "generate",
    "time/second_pass": "second pass",
    "time/rewards": "rewards",
    "time/log_probs": "log-probs",
    "time/update": "update",
    "time/rest": "optimizer and rest",
}


class ReportParts(NamedTuple):
    """The words of a method on a page."""

    facts: Mapping[str, str] = LENGTH  # names to show for settings; its own ones have a line without one, too
    # draws those of one run, the most telling first; None for what it did not log
    charts: Callable[[Metrics], Sequence[Chart | None]] = lambda metrics: []
    signs: Sequence[Sign] = ()  # what may look wrong in a run
    compared: Sequence[Panel] = ()  # charts of several runs, one line for each
    # settings that a run with these settings does not use
    unused: Callable[[Mapping[str, Any]], Sequence[str]] = lambda recipe: ()
    # says what the marks in its pairs mean
    describe_marks: Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], str] = lambda recipe, rows: ""


_ACCURACIES = {"rewards/accuracies": "accuracy", "accuracy": "accuracy"}
_OF_TRL = (  # what TRL's trainers and that of transformers log
    Panel("Loss", "Of the trainer, as it logs it.", {"loss": "loss"}),
    Panel("Pairs told apart", "Whose chosen side is scored above the rejected one.", _ACCURACIES, share=True),
    Panel("Margin", "Of the chosen side over the rejected one.", {"rewards/margins": "margin", "margin": "margin"}),
    Panel("Token accuracy", "Tokens the model would write itself.", {"mean_token_accuracy": "accuracy"}, share=True),
    Panel("Entropy, nats per token", "Near 0 the model is sure of every token.", {"entropy": "entropy"}),
)


OF_OTHERS = ReportParts(
    charts=lambda metrics: [*(draw_panel(each, metrics) for each in _OF_TRL), step_time_chart(metrics)]
)


def parts_of(recipe: Mapping[str, Any]) -> ReportParts:
    """Returns the parts of a run's method; of a trainer that is none of ours, those of what it logs."""
    method = METHODS.get(str(recipe.get("method")), METHODS["grpo"] if recipe.get("reward_funcs") else None)
    return OF_OTHERS if method is None else method.part("report")


def run_charts(parts: ReportParts, metrics: Metrics) -> list[Chart]:
    """Draws the charts of one run; what it did not log is left out."""
    charts = [*parts.charts(metrics), *(draw_panel(panel, metrics) for panel in _SHARED)]
    return [chart for chart in charts if chart]


def compared_panels(runs: Mapping[str, RunFolder]) -> list[Panel]:
    """Lists what means the same in each run: rewards of one name, and totals and losses that recipes agree on."""
    panels: list[Panel] = []
    for run in runs.values():
        panels += [panel for panel in parts_of(run.recipe).compared if panel not in panels]
    losses = {(run.recipe.get("method"), str(run.recipe.get("loss_type"))) for run in runs.values()}
    loss = [Panel("Loss", "Of one method in each run.", {"loss": ""})] if len(losses) == 1 else []
    return [*_same_rewards(list(runs.values())), *panels, *loss, *_COMPARED]


def comparison_charts(panels: Sequence[Panel], runs: Mapping[str, Metrics]) -> list[Chart]:
    """Draws one line per run."""
    charts = (draw_comparison(panel, runs) for panel in panels)
    return [chart for chart in charts if chart]


def _same_rewards(runs: Sequence[RunFolder]) -> list[Panel]:
    panels = []
    rewards = [[run.recipe.get(key) for key in _OF_REWARDS] for run in runs]
    if all(each == rewards[0] for each in rewards):
        panels.append(Panel("Reward in all", "The weighted total, of the same rewards in each run.", {"reward": ""}))
    logged = Counter(key for run in runs for key in run.metrics if REWARD_METRIC.fullmatch(key))
    shared = [key for key, count in logged.items() if count > 1]
    if len(shared) > 1 or not panels:
        note = "Mean over the batch, without its weight. Its settings may differ between the runs."
        panels += [Panel(f"Reward {REWARD_METRIC.fullmatch(key)[1]}", note, {key: ""}) for key in shared]  # type: ignore[index]
    return panels


_STEP_TIME = Panel("Time of a step, seconds", "Of all passes over the batch.", {"step_time": "step"})


def step_time_chart(metrics: Metrics, whole: Panel = _STEP_TIME) -> Chart | None:
    """Draws where the time of a step goes; runs that did not log its phases show the whole."""
    phases = {key: label for key, label in _PHASES.items() if key in metrics}
    if not phases:
        return draw_panel(whole, metrics)
    note = "From the end of one step to the end of the next, by what was done."
    colours = [place for place, key in enumerate(_PHASES) if key in phases]
    return draw_panel(Panel("Time of a step, seconds", note, phases, stacked=True, colours=colours), metrics)
