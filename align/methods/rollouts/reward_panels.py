"""The charts of runs with guarded rewards: their time, failures and noise, and what they go along with."""

from align.report.charts.drawing import NUM_COLOURS, Chart
from align.report.charts.panel import Metrics, Panel, draw_panel

_SIGNALS = {"length": "length", "format": "format", "repetition": "repetition"}


def call_charts(metrics: Metrics) -> list[Chart | None]:
    """Draws time and failures of each reward; failures only if there were some."""
    failed = _by_reward(metrics, "rewards", "invalid_share")
    failed = {key: name for key, name in failed.items() if metrics[key].values.max() > 0}
    panels = (
        Panel(
            "Time of a reward, seconds",
            "For one completion; 95 % take less. Rewards called for a whole batch at once: its mean.",
            _by_reward(metrics, "rewards", "seconds_p95"),
        ),
        Panel(
            "Noise of a reward, share of its variance",
            "Inside groups, from completions that are scored again: 0 gives the same each time, at 1 all is chance.",
            _by_reward(metrics, "rewards", "noise_share"),
            share=True,
        ),
        Panel(
            "Values that differ when scored again",
            "By more than rounding (1e-4).",
            _by_reward(metrics, "rewards", "flaky_share"),
            share=True,
        ),
        Panel("Invalid rewards", "Timeouts, errors, and values that are no finite number.", failed, share=True),
        Panel(
            "What the total reward goes along with",
            "Rank correlation among the completions of a prompt: an audit, nothing is held back.",
            {f"audit/total/{signal}": name for signal, name in _SIGNALS.items()},
        ),
        Panel(
            "Variance that format alone explains",
            "Of the rewards within a prompt, from counts of lines, list items, emphasis and tags.",
            _by_reward(metrics, "audit", "format_share"),
            share=True,
        ),
    )
    return [draw_panel(panel, metrics) for panel in panels]


def _by_reward(metrics: Metrics, prefix: str, quantity: str) -> dict[str, str]:
    keys = [key for key in metrics if key.startswith(f"{prefix}/") and key.endswith(f"/{quantity}")]
    return {key: key.split("/")[1] for key in keys[:NUM_COLOURS]}
