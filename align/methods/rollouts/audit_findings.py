"""A reward that rises while what is audited beside it falls: the policy learns what pays, and not what was meant."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from align.report.charts.panel import Metrics
from align.report.run.finding import Finding
from align.report.run.folder import Series

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
