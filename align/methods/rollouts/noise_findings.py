"""Rewards that are not the same twice: how much of what the policy learns from is noise."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from align.recipe.alarms import DEFAULT_ALARMS, alarm_keys
from align.report.charts.axis import format_number
from align.report.charts.panel import Metrics
from align.report.run.finding import Finding, percent, recent

SIGNALS = ("noise_share", "flaky_share")
_REMEDY = (
    "The policy is pushed towards completions that were lucky. Fix what varies (temperature and seed of a judge, "
    "order and time limits of tests), average several calls, or raise `num_generations`. What a reward keeps from "
    "call to call, or reads of the rest of its batch, counts as noise here."
)


def find_noise(metrics: Metrics, recipe: Mapping[str, Any]) -> list[Finding]:
    """Lists the rewards whose values differed too much when they were scored again, in the last quarter of steps."""
    return [_finding(metrics, reward) for reward in dict.fromkeys(_too_noisy(metrics, recipe))]


def _too_noisy(metrics: Metrics, recipe: Mapping[str, Any]) -> Iterator[str]:
    for alarm, limit in (DEFAULT_ALARMS | (recipe.get("alarms") or {})).items():
        signal = alarm.rpartition("/")[2]
        for key in alarm_keys(alarm, metrics) if signal in SIGNALS and limit is not None else ():
            reward = key.split("/")[1]
            value = _noise_share(metrics, reward) if signal == "noise_share" else recent(metrics, key)
            if value > limit:
                yield reward


def _noise_share(metrics: Metrics, reward: str) -> float:
    """Divides the mean variances: a mean of the shares of single steps would lean on steps with little variance."""
    noise, inside = (recent(metrics, f"rewards/{reward}/{name}") for name in ("noise_variance", "group_variance"))
    return min(1.0, noise / inside) if inside > 0 else float("nan")


def _finding(metrics: Metrics, reward: str) -> Finding:
    share = _noise_share(metrics, reward)
    flaky, gap, icc = (
        recent(metrics, f"rewards/{reward}/{name}") for name in ("flaky_share", "repeat_difference", "repeat_icc")
    )
    title = f"Reward `{reward}` gives {percent(flaky)} of its values otherwise when it is asked again"
    if share > 0:
        title = f"Noise of the reward `{reward}` explains {percent(share)} of its variance inside groups"
    numbers = f", by {format_number(gap)} on average" if gap > 0 else ""
    numbers += f" (ICC {icc:.2f} over all prompts)" if math.isfinite(icc) else ""
    return Finding(title, f"Scored again, {percent(flaky)} of its values differ{numbers}. {_REMEDY}")
