"""One HTML file about one run or several: no script, no request, every word of a model escaped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from align.report.charts import Chart
from align.report.findings import Finding, find_problems
from align.report.panels import comparison_charts, run_charts
from align.report.run_folder import RunFolder, read_run_folder
from align.report.samples import Sample, pick_samples
from align.report.tables import differences, headline

_SAMPLES = 40
_FACTS = {
    "method": "Method",
    "model_name_or_path": "Model",
    "dataset": "Data",
    "reward_funcs": "Rewards",
    "max_steps": "Steps asked for",
    "num_train_epochs": "Epochs asked for",
    "num_generations": "Completions per prompt",
    "per_device_train_batch_size": "Completions per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "beta": "KL weight (beta)",
    "temperature": "Temperature",
    "max_completion_length": "Longest completion, tokens",
    "use_vllm": "vLLM rollouts",
    "seed": "Seed",
}


class RunView(NamedTuple):
    """What the page says about one run."""

    name: str
    facts: dict[str, str]
    findings: list[Finding]
    recipe: str
    versions: dict[str, str]
    samples: list[Sample]


def build_report(run_dir: Path, out: Path | None = None) -> Path:
    """Writes the report of one run.

    Args:
        run_dir: The folder that `align train` wrote.
        out: The HTML file; `report.html` in the run folder if not given.

    Returns:
        The file written.

    Raises:
        RunFolderError: If the folder lacks what a report needs, or a file in it is broken.
    """
    run = read_run_folder(run_dir)
    title = f"{str(run.recipe.get('method', 'run')).upper()}: {run_dir.resolve().name}"
    view = _view(run_dir.resolve().name, run, _SAMPLES)
    return _write(out or run_dir / "report.html", title, run.evaluation or {}, run_charts(run.metrics), [view])


def build_comparison(run_dirs: Mapping[str, Path], evaluation: Mapping[str, Any], out: Path) -> Path:
    """Writes one page that shows several runs side by side.

    Args:
        run_dirs: Run folders by the name to show.
        evaluation: As in `evaluation.json`: `{name: {"summary": {metric: [value, low, high, n]}}}`, and where pairs of
            policies answered the same items `{name: {"difference_to": {other: {metric: [value, low, high, n]}}}}`.
        out: The HTML file.
    """
    if not run_dirs:
        raise ValueError("`run_dirs` must name at least one run folder, got none.")
    runs = {name: read_run_folder(path) for name, path in run_dirs.items()}
    charts = comparison_charts({name: run.metrics for name, run in runs.items()})
    views = [_view(name, run, _SAMPLES // len(runs)) for name, run in runs.items()]
    return _write(out, " vs ".join(runs), evaluation, charts, views)


def _view(name: str, run: RunFolder, num_samples: int) -> RunView:
    return RunView(
        name=name,
        facts=_facts(run),
        findings=find_problems(run),
        recipe=run.recipe_text,
        versions={key: _flat(value) for key, value in run.versions.items() if value is not None},
        samples=pick_samples(run.completions, num_samples),
    )


def _facts(run: RunFolder) -> dict[str, str]:
    facts = {label: _flat(run.recipe[key]) for key, label in _FACTS.items() if run.recipe.get(key) is not None}
    if isinstance(run.recipe.get("dataset"), Mapping):
        facts["Data"] = _flat(run.recipe["dataset"].get("path"))
    weights = run.recipe.get("reward_weights")
    names = run.recipe.get("reward_funcs")
    if isinstance(weights, list) and isinstance(names, list) and len(weights) == len(names):
        facts["Rewards"] = ", ".join(f"{weight} x {name}" for weight, name in zip(weights, names, strict=True))
    steps = [series.steps for series in run.metrics.values()]
    facts["Steps logged"] = f"{min(map(min, steps))} to {max(map(max, steps))}" if steps else "none"
    return facts


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_flat, value))
    return str(value)


def _write(out: Path, title: str, evaluation: Mapping[str, Any], charts: list[Chart], runs: list[RunView]) -> Path:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("align.report", "."),
        autoescape=True,  # a completion may hold markup; `select_autoescape` would miss the name `.html.j2`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        title=title, headline=headline(evaluation), differences=differences(evaluation), charts=charts, runs=runs
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8", errors="replace")
    return out
