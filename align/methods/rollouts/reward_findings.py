"""What looks wrong in rewards: calls, noise, audits that fall, what is learnt instead; and the canary."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align.recipe.reward_settings import DEFAULT_ALARMS, alarm_keys, alarm_sentence
from align.report.charts.axis import format_number
from align.report.charts.panel import Metrics
from align.report.run.finding import Finding, percent, recent
from align.report.run.folder import Series

_REMEDIES = {
    "invalid_share": "The table of reward calls shows rows that failed. A row without a reward teaches nothing, and "
    "one that fails when it is wrong, or right, bends what is learnt.",
    "length": "If length is not what the rewards are about, compare short and long completions of one prompt below, "
    "and consider the `length` reward or `reward_clip`.",
    "format": "Compare completions with and without the marks below. A format reward with a small weight, or as a "
    "gate (`reward_gates`), leaves less to be learnt from marks alone.",
    "repetition": "Read some of the completions with the highest reward below. A `repetition` reward counts against "
    "it.",
    "format_share": "A policy can earn this part without a better answer. Make format a gate (`reward_gates`) instead "
    "of a summand.",
    "canary": "The completions were another policy's. Near 0 at first and higher since: weights are not transferred. "
    "As high from the start: another dtype, a quantised model, or, with a `temperature` other than 1, a server that "
    "runs without `--logprobs-mode processed_logprobs`. `stop_on: [canary]` ends a run at the first one.",
}


def find_reward_signals(metrics: Metrics, recipe: Mapping[str, Any]) -> list[Finding]:
    """Lists the alarms whose signal was above its limit in the last quarter of the steps; noise has its own words."""
    thresholds = DEFAULT_ALARMS | (recipe.get("alarms") or {})
    findings = []
    for alarm, limit in thresholds.items():
        detail = _REMEDIES.get(alarm.rpartition("/")[2])
        for key in alarm_keys(alarm, metrics):
            value = recent(metrics, key)
            if detail is not None and limit is not None and value > limit:
                findings.append(Finding(f"Audit: {alarm_sentence(key, value, limit).rstrip('.')}", detail))
    return findings


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


FEWEST = 5  # logged steps, below which no course can be told
NOISES = 4.0  # standard errors that a rise or a fall has to have; the step is picked where the fall looks largest
_PARTS = 8  # a mean over an eighth of the run stands for a step


def find_audit_falls(metrics: Metrics) -> list[Finding]:
    """Finds audits that fell while the reward rose; evaluation rows say so before training rows do."""
    names = dict.fromkeys(name for prefix in ("eval_audit/", "audit/") for name in _audited(metrics, prefix))
    found = []
    for name in names:
        for prefix in ("eval_", ""):
            reward, audit = metrics.get(f"{prefix}reward"), metrics.get(f"{prefix}audit/{name}/mean")
            finding = None if reward is None or audit is None else _fall(name, reward, audit)
            if finding is not None:
                found.append(finding)
                break
    return found


def _audited(metrics: Metrics, prefix: str) -> Iterator[str]:
    for key in metrics:
        if key.startswith(prefix) and key.endswith("/mean"):
            yield key.removeprefix(prefix).removesuffix("/mean")


def _fall(name: str, reward: Series, audit: Series) -> Finding | None:
    """Compares the end of a run with where the audit stood highest.

    Beside a reward that rises by ten standard deviations, an audit that is noise is found in 1 to 2 of 100 runs with 5
    to 8 logged steps, and in fewer with more.
    """
    steps, rewards, audits = _shared(reward, audit)
    if len(steps) < FEWEST:
        return None
    width = max(1, len(steps) // _PARTS)
    smooth_reward, smooth_audit = _smooth(rewards, width), _smooth(audits, width)
    peak = int(np.argmax(smooth_audit[:-1])) if len(smooth_audit) > 1 else 0
    fall, rise = smooth_audit[peak] - smooth_audit[-1], smooth_reward[-1] - smooth_reward[peak]
    if fall <= NOISES * _error(audits, width) or rise <= NOISES * _error(rewards, width):
        return None
    step = int(steps[peak + width - 1])
    return Finding(
        f"The reward rose by {rise:.2g} while the audit {name} fell by {fall:.2g} from step {step}",
        "What the rewards pay for parts from what the audit measures. Read completions from before and after that "
        f"step, and keep the checkpoint that the audit likes best: `eval_strategy: steps`, `metric_for_best_model: "
        f"eval_audit/{name}/mean` and `load_best_model_at_end: true`.",
    )


def _shared(first: Series, second: Series) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Takes the steps at which both were measured."""
    steps, ours, theirs = np.intersect1d(first.steps, second.steps, return_indices=True)
    a, b = first.values[ours], second.values[theirs]
    known = np.isfinite(a) & np.isfinite(b)
    return steps[known], a[known], b[known]


def _smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Averages each `width` values in a row."""
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


def _error(values: NDArray[np.float64], width: int) -> float:
    """Estimates the standard error of the difference of two such means, from what is left without a straight line."""
    bends = np.diff(values, n=2)  # of independent values, the mean square of these is 6 variances
    return float(np.sqrt(np.mean(bends**2) / 6 * 2 / width))
