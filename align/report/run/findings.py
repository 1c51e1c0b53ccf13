"""What looks wrong in a run."""

from typing import Any

import numpy as np

from align.report.charts.panel import Metrics
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder
from align.report.run.parts import parts_of
from align.runs.readings import changes, noted_readings


def find_problems(run: RunFolder) -> list[Finding]:
    """Lists what looks wrong in a run, judged on the last quarter of its logged steps."""
    found = (_broken_lines(run), _not_finite(run.metrics))
    before = [_found_before(check) for check in run.checks if check.get("level") == "warning"]
    before += [Finding("Another file from a step on", text) for text in changes(noted_readings(run.path))]
    return [*(finding for finding in found if finding), *parts_of(run.recipe).findings(run), *before]


def _found_before(check: dict[str, Any]) -> Finding:
    """Words a warning from before training, rows that were left out among them."""
    return Finding(f"Found before training: {check.get('check', '')}", str(check.get("text", "")))


def _broken_lines(run: RunFolder) -> Finding | None:
    if not run.broken_lines:
        return None
    lines = ", ".join(map(str, run.broken_lines[:5])) + (", ..." if len(run.broken_lines) > 5 else "")
    return Finding(
        "A part of the log cannot be read",
        f"metrics.jsonl, line {lines}: not JSON. A process killed while it writes leaves such a line; its steps are "
        "missing from the curves. If the run did not finish, `--resume auto` continues it.",
    )


def _not_finite(metrics: Metrics) -> Finding | None:
    for key in ("loss", "grad_norm"):
        if key in metrics and not np.isfinite(metrics[key].values).all():
            step = metrics[key].steps[~np.isfinite(metrics[key].values)][0]
            return Finding(
                f"{key} is not a number from step {step} on",
                "The checkpoints after that step are damaged. Lower `learning_rate` or `max_grad_norm`, or train in "
                "bf16 or fp32 if this was fp16.",
            )
    return None
