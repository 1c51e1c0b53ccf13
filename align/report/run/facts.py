"""What the page of a run begins with: the settings that its reader looks for first, and what looks wrong."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from align.methods import METHODS
from align.recipe.fields import own_fields
from align.report.charts.axis import format_number
from align.report.charts.drawing import draw_spark
from align.report.charts.panel import Metrics
from align.report.run.completions import is_raw, reward_weights, rewards_of
from align.report.run.finding import Finding, look_at
from align.report.run.folder import RunFolder
from align.report.run.method_parts import parts_of
from align.runs.readings import changes, noted_readings

_START = {"method": "Method", "model_name_or_path": "Model", "dataset": "Data"}
_OBSERVED = {"outcome": "Outcome", "confounders": "Confounders", "estimator": "Estimator"}
_END = {"use_peft": "LoRA", "seed": "Seed"}


def run_facts(run: RunFolder) -> dict[str, str]:
    """Lists the settings that the recipe states, by the name to show."""
    parts = parts_of(run.recipe)
    unused, method = parts.unused(run.recipe), str(run.recipe.get("method"))
    chain = METHODS[method].config_chain if method in METHODS else ()
    own = {name: parts.facts.get(name, name) for name in own_fields(chain)}
    labels = {**_START, **parts.facts, **own, **_END}
    labels = {key: label for key, label in labels.items() if key not in unused}
    facts = {label: flat(run.recipe[key]) for key, label in labels.items() if run.recipe.get(key) is not None}
    if isinstance(run.recipe.get("dataset"), Mapping):
        data = run.recipe["dataset"]
        facts["Data"] = flat(data.get("path"))
        facts |= {label: flat(data[key]) for key, label in _OBSERVED.items() if data.get(key)}
    weights, names = run.recipe.get("reward_weights"), run.recipe.get("reward_funcs")
    if isinstance(weights, list) and isinstance(names, list) and len(weights) == len(names):
        facts["Rewards"] = ", ".join(f"{weight} x {name}" for weight, name in zip(weights, names, strict=True))
    steps = [series.steps for series in run.metrics.values()]
    facts["Steps logged"] = f"{min(map(min, steps))} to {max(map(max, steps))}" if steps else "none"
    return facts


class Latest(NamedTuple):
    """A number that a reader looks for first, with its course."""

    label: str
    value: str
    spark: str


_FIRST = {  # metrics by what they are called; a run has a reward, or else a loss
    "reward": r"reward",
    "right": r"\w+/first_right|rewards/\w*accuracy/mean",
    "pairs told apart": r"rewards/accuracies|accuracy",
    "length, tokens": r"completions/mean_length",
    "KL, nats": r"kl",
    "loss": r"loss",
}
_SHARES = ("right", "pairs told apart")


def latest(metrics: Metrics) -> list[Latest]:
    """Lists four numbers that say how a run goes, means over the last quarter of its steps."""
    found = []
    for label, pattern in _FIRST.items():
        key = next((each for each in metrics if re.fullmatch(pattern, each)), None)
        if key is not None and (key != "loss" or "reward" not in metrics):  # which hovers around 0 by construction
            value = format_number(metrics[key].recent(), label in _SHARES)
            found.append(Latest(label, value, draw_spark(metrics[key])))
    return found[:4]


def flat(value: Any) -> str:
    """Writes a value of a recipe on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {flat(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(flat, value))
    return str(value)


def find_problems(run: RunFolder) -> list[Finding]:
    """Lists what looks wrong in a run, judged on the last quarter of its logged steps."""
    before = [  # rows that were left out among them
        Finding(
            f"Found before training: {check.get('check', '')}",
            str(check.get("text", "")),
            "note" if str(check.get("fix", "")).startswith("pip install") else "doubt",
        )
        for check in run.checks
        if check.get("level") == "warning"
    ]
    before += [Finding("Another file from a step on", text) for text in changes(noted_readings(run.path))]
    return [*_of_log(run), *look_at(run, parts_of(run.recipe).signs), *before]


def _of_log(run: RunFolder) -> Iterator[Finding]:
    if run.broken_lines:
        lines = ", ".join(map(str, run.broken_lines[:5])) + (", ..." if len(run.broken_lines) > 5 else "")
        yield Finding(
            "A part of the log cannot be read",
            f"metrics.jsonl, line {lines}: not JSON. A process killed while it writes leaves such a line; its steps "
            "are missing from the curves. If the run did not finish, `--resume auto` continues it.",
        )
    yield from _unscored(run)
    for key in ("loss", "grad_norm"):
        if key in run.metrics and not np.isfinite(run.metrics[key].values).all():
            step = run.metrics[key].steps[~np.isfinite(run.metrics[key].values)][0]
            yield Finding(
                f"{key} is not a number from step {step} on",
                "The checkpoints after that step are damaged. Lower `learning_rate` or `max_grad_norm`, or train in "
                "bf16 or fp32 if this was fp16.",
                "spoils",
            )
            break


def _unscored(run: RunFolder) -> Iterator[Finding]:
    """Says on how many completions a reward's curve is, and what the mean could be with those without a value."""
    weights = reward_weights(run.recipe, run.metrics)
    by_name: dict[str, list[float]] = {}
    for row in run.completions:
        for name, value in rewards_of(row, weights).items():
            if not is_raw(name, weights):
                by_name.setdefault(name, []).append(math.nan if value is None else float(value))
    for name, values in by_name.items():
        known = np.array(values)[np.isfinite(values)]
        if 0 < len(known) < len(values):
            least, most = (np.where(np.isfinite(values), values, end).mean() for end in (known.min(), known.max()))
            yield Finding(
                f"{name} has no value of {len(values) - len(known):,} of {len(values):,} completions",
                f"Its curve is the mean of the others. With the least or the greatest value that was given in their "
                f"place, the mean of these completions, {known.mean():.2f}, would be {least:.2f} or {most:.2f}.",
            )
