"""What looks wrong in the calls of rewards, and what the policy may be learning from them instead; and the canary."""

from collections.abc import Mapping
from typing import Any

from align.recipe.alarms import DEFAULT_ALARMS, alarm_keys, alarm_sentence
from align.report.charts.panel import Metrics
from align.report.run.finding import Finding, recent

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
