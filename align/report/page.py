"""One HTML file about one run or several: no request, one script of our own, every word of a model escaped."""

import base64
import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from align.data.media.thumbnails import spread_places
from align.errors import RunFolderError
from align.evaluation.record import Record
from align.evaluation.suites import explain, glossary
from align.logs.log import as_number
from align.logs.log_rows import rows_of
from align.logs.rollouts import scores_of, verl_files
from align.progress import words_of_time
from align.report.charts.drawing import Chart
from align.report.charts.panel import Metrics
from align.report.evaluation.measured import MetricWords, arrange, collect, draw_metrics
from align.report.run.completions import REWARD_METRIC, reward_weights
from align.report.run.facts import find_problems, flat, latest, run_facts
from align.report.run.finding import Finding
from align.report.run.folder import RunFolder, Series, as_series, read_completions, read_run_folder
from align.report.run.method_parts import compared_panels, comparison_charts, parts_of, run_charts
from align.report.run.pairs import pick_pairs
from align.report.run.reward_calls import read_reward_calls
from align.report.run.samples import pick_samples
from align.report.run.tables import Grid, final_numbers, recipe_differences
from align.report.thumbnails import PAGE_BYTES, Thumbnails
from align.runs.progress import Progress, State, look_up
from align.whole_files import write_whole

_SAMPLES = 60
_SCRIPT = ("charts.js", "samples.js", "live.js")


class Script(NamedTuple):
    """A script, and its hash as a policy names it."""

    text: str
    sha256: str


@functools.cache
def page_script() -> Script:
    """Reads the script of pages about runs."""
    folder = Path(__file__).parent / "js"
    text = "\n" + "".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPT)
    return Script(text, base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


def build_report(run_dir: Path, out: Path | None = None, *, in_training: bool = False) -> Path:
    """Writes the report of one run, which this process may be training, into its folder or as `out`."""
    out = out or run_dir / "report.html"
    write_whole(out, run_page(run_dir, in_training=in_training), errors="replace")
    return out


def read_run(folder: Path) -> RunFolder:
    """Reads a folder of `align train` or `align.watch`, or of TRL's or verl's trainers."""
    return read_others(folder) if is_of_others(folder) else read_run_folder(folder)


def run_page(run_dir: Path, *, in_training: bool = False, version: str = "") -> str:
    """Renders the page of one run; one with a version asks the server that it came from for a later one."""
    run = read_run(run_dir)
    name = run_dir.resolve().name
    title = f"{str(run.recipe.get('method', 'run')).upper()}: {name}"
    view = _view(name, run, look_up(run_dir, in_training=in_training))
    return _render(title, None, run_charts(parts_of(run.recipe), run.metrics), [view], version)


def build_comparison(run_dirs: Mapping[str, Path], evaluation: Record | None, out: Path) -> Path:
    """Writes one page that shows several runs side by side, by the names of what was measured of them."""
    write_whole(out, comparison_page(run_dirs, evaluation), errors="replace")
    return out


def comparison_page(run_dirs: Mapping[str, Path], evaluation: Record | None, *, version: str = "") -> str:
    """Renders the page of several runs, their curves laid over each other."""
    if not run_dirs:
        raise ValueError("`run_dirs` must name at least one run folder, got none.")
    runs = {name: read_run(path) for name, path in run_dirs.items()}
    metrics = {name: run.metrics for name, run in runs.items()}
    panels = compared_panels(runs)
    differ = recipe_differences({name: run.recipe for name, run in runs.items()})
    tables = {"Where the recipes differ": differ, "Final numbers": final_numbers(metrics, panels, differ=differ)}
    views = [_view(name, run, look_up(run.path), len(runs)) for name, run in runs.items()]
    return _render(" vs ".join(runs), evaluation, comparison_charts(panels, metrics), views, version, tables)


def _view(name: str, run: RunFolder, progress: Progress, num_runs: int = 1) -> dict[str, Any]:
    num_samples, thumbnails = _SAMPLES // num_runs, Thumbnails(run.path, PAGE_BYTES // num_runs)
    samples = None  # of a run that generates nothing while it trains
    if "reward" in run.metrics:
        samples = pick_samples(run.completions, num_samples, thumbnails, reward_weights(run.recipe, run.metrics))
    return {
        "name": name,
        "progress": describe(progress, run.metrics),
        "is_running": progress.state is State.RUNNING,
        "facts": run_facts(run),
        "latest": latest(run.metrics),
        "findings": find_problems(run),
        "recipe": run.recipe_text,
        "versions": {key: flat(value) for key, value in run.versions.items() if value is not None},
        "samples": samples,
        "pairs": pick_pairs(run.pairs, num_samples, thumbnails),
        "marks": parts_of(run.recipe).describe_marks(run.recipe, run.pairs),
        "calls": read_reward_calls(run.path),
    }


def _render(
    title: str,
    evaluation: Record | None,
    charts: list[Chart],
    runs: list[dict[str, Any]],
    version: str,
    side_by_side: Mapping[str, Grid] | None = None,
) -> str:
    findings: dict[Finding, list[str]] = {}  # what several runs have is said once
    for run in runs:
        for finding in run["findings"]:
            findings.setdefault(finding, []).append(run["name"])
    return render_page(
        "report.html.j2",
        title=title,
        script=page_script(),
        version=version,
        **_evaluated(evaluation),
        findings=findings,
        charts=charts,
        runs=runs,
        side_by_side=side_by_side,
    )


def write_page(template: str, out: Path, *, package: str = "align.report", **content: Any) -> Path:
    """Fills a template of a package, on the layout of this one, and writes the file at once."""
    write_whole(out, render_page(template, package=package, **content), errors="replace")
    return out


def render_page(template: str, *, package: str = "align.report", **content: Any) -> str:
    """Fills a template of a package, on the layout of this one, escaping everything."""
    page = _environment(package).get_template(template)
    return page.render({"script": None, "version": ""} | content)


@functools.cache
def _environment(package: str) -> Any:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(name, ".") for name in (package, "align.report")]),
        autoescape=True,  # completions and data may hold markup; `select_autoescape` would miss the name `.html.j2`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _evaluated(record: Record | None) -> dict[str, Any]:
    """Arranges the evaluation in a run's folder: sentences and figure of what was compared first, and the table."""
    if record is None:
        return {"conclusions": [], "headline": None, "verdict_charts": []}
    numbers = collect(record, MetricWords(glossary()))
    metrics = list(dict.fromkeys(metric for cells in numbers.values.values() for metric in cells))
    first = [metric for metric in metrics if any(metric in cells for cells in numbers.differences.values())][:1]
    cells = [each[metric] for each in numbers.values.values() for metric in first if each.get(metric) is not None]
    shares = first if all(cell is not None and cell.low >= 0 and cell.high <= 1 for cell in cells) else []
    labels = {metric: numbers.words.label(metric) for metric in first}
    return {
        "conclusions": list(conclusions(record, first)),
        "headline": arrange(metrics, numbers) if metrics else None,
        "verdict_charts": draw_metrics(
            "".join(labels.values()), "With 95 % intervals.", first, numbers.values, labels, shares
        ),
    }


def conclusions(record: Record, metrics: Sequence[str]) -> Iterator[str]:
    """Says of each paired difference in some metrics on which side of 0 its 95 % interval lies, if on one."""
    for each in record.comparisons:
        if each.metric in metrics:
            entry = explain(each.metric)
            yield each.sentence(entry.label.lower() if entry else each.metric)


def describe(progress: Progress, metrics: Metrics) -> str:
    """Says in a line how far a run is, the time that its steps took and, of one that goes on, will take."""
    last = max((int(series.steps[-1]) for series in metrics.values()), default=0)
    of = f" of {progress.steps:,}" if progress.steps is not None else ""
    times = metrics.get("step_time")
    spent = "" if times is None else f" in {words_of_time(last * float(np.nanmean(times.values)))}"
    if progress.state is State.RUNNING:
        rest = ""
        if times is not None and progress.steps is not None:
            rest = f" About {words_of_time(max(0, progress.steps - last) * times.recent())} to go."
        return f"Still running: step {last:,}{of}{spent} when this page was written, at {progress.written}.{rest}"
    if progress.state is State.CUT_SHORT and progress.steps is not None and last < progress.steps:
        rest = "`--resume auto` goes on where it left a checkpoint."
        return f"Not finished: nothing trains it after step {last:,}{of}. {rest}"
    return f"{last:,} steps{spent}." if last else ""


STATE = "trainer_state.json"
_TABLES = 24  # files of rollouts that are shown, spread over the run


def is_of_others(folder: Path) -> bool:
    """Tells whether a folder holds the log of a trainer that is not ours."""
    if not folder.is_dir() or (folder / "recipe.yaml").exists() or (folder / "metrics.jsonl").exists():
        return False
    tables = folder.glob("completions/completions_*.parquet")
    return _state(folder) is not None or any(tables) or bool(verl_files(folder))


def read_others(folder: Path) -> RunFolder:
    """Reads such a folder; what a trainer does not log is not there, and the page says nothing of it."""
    state, dumps = _state(folder), verl_files(folder)
    if dumps:
        rows = [_as_ours(row) for place in spread_places(len(dumps), _TABLES) for row in rows_of(dumps[place])]
        metrics = _means(_as_ours(row) for file in dumps for row in rows_of(file))
        return _folder(folder, "verl", metrics | {"reward": metrics["rewards/score/mean"]}, rows, of_it=("score",))
    completions = read_completions(folder / "completions")
    metrics = _history(state) if state is not None else _means(completions)
    return _folder(folder, "TRL or transformers", metrics, completions)


def _folder(
    folder: Path, tool: str, metrics: dict[str, Series], rows: list[dict[str, Any]], of_it: Sequence[str] = ()
) -> RunFolder:
    """Makes a folder whose recipe is its rewards alone; some may be `of_it`, and the others only logged beside it."""
    names = [match[1] for key in metrics if (match := REWARD_METRIC.fullmatch(key))]
    recipe: dict[str, Any] = {"reward_funcs": names} if names else {}
    if of_it:
        recipe["reward_weights"] = [float(name in of_it) for name in names]
    return RunFolder(folder, f"(none: written by {tool})", recipe, {}, metrics, rows)


def _state(folder: Path) -> Path | None:
    """Finds the log of a trainer of transformers: its own, or that of the newest checkpoint."""
    saved = [path for path in folder.glob(f"checkpoint-*/{STATE}") if path.parent.name[11:].isdigit()]
    found = [folder / STATE, *sorted(saved, key=lambda path: -int(path.parent.name[11:]))]
    return next((path for path in found if path.is_file()), None)


def _history(state: Path) -> dict[str, Series]:
    try:
        history = json.loads(state.read_text(encoding="utf-8"))["log_history"]
        return _series((line["step"], line) for line in history)
    except (ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{state} is no log of a trainer of transformers: {error!r}.") from error


def _means(rows: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Makes the curves that TRL logs, of the rewards of completions."""
    by_step: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name, value in scores_of(row, "prompt", "completion").items():
            if (number := as_number(value)) is not None:
                by_step[int(row.get("step", 0))][f"rewards/{name}/mean"].append(number)
    return _series(
        (step, {name: sum(values) / len(values) for name, values in found.items()})
        for step, found in sorted(by_step.items())
    )


def _series(lines: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[str, Series]:
    points: dict[str, dict[int, float]] = {}
    for step, line in lines:
        for name, value in line.items():
            if not isinstance(value, str) and (number := as_number(value)) is not None:
                points.setdefault(name, {})[int(step)] = number
    return as_series(points)


def _as_ours(row: Mapping[str, Any]) -> dict[str, Any]:
    """Names the columns of verl as TRL does."""
    named = {"input": "prompt", "output": "completion", "gts": "gold"}
    return {named.get(name, name): value for name, value in row.items()}
