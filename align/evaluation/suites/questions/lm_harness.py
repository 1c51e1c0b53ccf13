"""Tasks of lm-evaluation-harness for a checkpoint (the extra `lm-eval`)."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from align.errors import UserError
from align.evaluation.statistics.item_means import ItemMean, bounds_of
from align.evaluation.statistics.metrics import Estimate
from align.evaluation.suite import Measured
from rewards.extras import missing

_Z = 1.959964  # of a 95 % interval from a standard error


def require_harness() -> None:
    """Raises `UserError` with the pip line that helps unless lm-evaluation-harness is installed."""
    if sentence := missing("lm-eval", "A suite lm-eval:TASK"):
        raise UserError(sentence)


def harness_version() -> str:
    """Returns the installed version, which decides prompts and metrics."""
    return version("lm_eval")


def run_task(task: str, model: Any, tokenizer: Any, *, batch_size: int, max_rows: int | None) -> dict[str, Any]:
    """Runs a task or group of tasks, by name or YAML file, with the harness's own prompts and decoding.

    Returns `items`, values by metric and row, for metrics that are means over the rows of one task; `totals`, the
    harness's value and standard error of every other metric; and the `version` of the task.
    """
    require_harness()
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    name, folder = (Path(task).stem, str(Path(task).parent)) if task.endswith((".yaml", ".yml")) else (task, None)
    # A file needs none of the thousands of tasks that ship, which take a minute to read.
    manager = TaskManager(include_path=folder, include_defaults=folder is None)
    if name not in manager.all_tasks:
        raise UserError(f"lm-evaluation-harness knows no task {task!r}. `lm-eval ls tasks` lists them all.")
    try:
        found = simple_evaluate(
            model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size),
            tasks=[name],
            task_manager=manager,
            limit=max_rows,
            log_samples=True,
            bootstrap_iters=0 if max_rows is not None and max_rows < 2 else 1000,
        )
    except (OSError, ValueError, ConnectionError) as error:
        raise UserError(f"The task {task} of lm-evaluation-harness failed: {error}") from error
    return collect(found, name)


def collect(found: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Takes from the harness's results what is kept, in a form that JSON can hold."""
    totals, items = found["results"][task], {}
    samples = sorted(found["samples"].get(task, []), key=lambda sample: int(sample["doc_id"]))
    for key, value in totals.items():
        metric, _, chosen = key.partition(",")
        rows = [sample.get(metric) for sample in samples if sample.get("filter", chosen) == chosen]
        if rows and all(isinstance(row, int | float) for row in rows) and np.isclose(np.mean(rows), value):
            items[_named(metric, chosen)] = [float(row) for row in rows]
    others = {
        _named(*key.split(",", 1)): [value, totals.get(key.replace(",", "_stderr,", 1))]
        for key, value in totals.items()
        if "," in key and "_stderr," not in key and _named(*key.split(",", 1)) not in items
        if isinstance(value, int | float)
    }
    return {"items": items, "totals": others, "version": found.get("versions", {}).get(task)}


def harness_suite(kept: Mapping[str, Any]) -> Measured:
    """Makes metrics of what `run_task` returned."""
    means = {
        name: ItemMean((np.array(rows),), bounds=bounds_of(np.array(rows))) for name, rows in kept["items"].items()
    }
    return Measured(means, {name: _total(*pair) for name, pair in kept["totals"].items()})


def _named(metric: str, chosen: str) -> str:
    return metric if chosen == "none" else f"{metric}/{chosen}"


def _total(value: float, error: Any) -> Estimate:
    margin = _Z * error if isinstance(error, int | float) else np.nan
    return Estimate(float(value), float(value - margin), float(value + margin), 0)
