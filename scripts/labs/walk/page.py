"""Tables of a walk-through: what each stage is worth on held-out questions, and what helped and what did not."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as parquet
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap

from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE
from align.evaluation.record.file import without_nan
from align.evaluation.record.merging import MERGING_FILE
from align.evaluation.statistics.metrics import (
    Estimate,
    letter_shares,
    mean_of_differences,
    mean_over_seeds,
    trace_answer_consistency,
)
from align.versions import installed_versions
from align.whole_files import write_whole

SHOWN = {
    "accuracy": "accuracy",
    "option_shuffle_consistency": "option-shuffle consistency",
    "trace_answer_consistency": "trace = answer",
    "letter_bias": "letter bias",
    "letter_share/A": 'share of "A"',
    "answered": "answered",
}
COMPARED = ("accuracy", "option_shuffle_consistency", "trace_answer_consistency", "letter_bias")
BETTER_BELOW = ("letter_bias",)
RESAMPLES = 1999
Row = tuple[str, ...]


class Difference(NamedTuple):
    """How much larger a metric of `model` is than that of `other`, on the same questions."""

    model: str
    other: str
    metric: str
    estimate: Estimate


def metrics_of(folder: Path) -> dict[str, dict[str, Estimate]]:
    """Reads the shown metrics of every model of an evaluation."""
    record = json.loads((folder / EVALUATION_FILE).read_text(encoding="utf-8"))
    names = [model["name"] for model in record["about"]["models"]]
    found: dict[str, dict[str, Estimate]] = {name: {} for name in names}
    for suite in record["suites"].values():
        for name, cells in suite.items():
            for metric in SHOWN.keys() & cells.keys():
                found[name][metric] = estimate_of(cells[metric])
    return found


def estimate_of(cell: Mapping[str, Any]) -> Estimate:
    """Reads a cell of a record, which has null where there is no number."""
    numbers = [math.nan if cell[key] is None else cell[key] for key in ("value", "low", "high")]
    return Estimate(*numbers, cell["n"])


def differences(folder: Path, order: Sequence[str]) -> list[Difference]:
    """Compares every model of an evaluation with those before it in `order`, on the same questions."""
    columns = ["id", "model", "gold", "options", "correct", "consistent", "first_choice", "trace_choice"]
    rows = parquet.read_table(folder / ITEMS_FILE, columns=columns).to_pylist()
    by_model = {
        name: sorted((row for row in rows if row["model"] == name), key=lambda row: row["id"]) for name in order
    }
    found = []
    for other, model in combinations(order, 2):
        ours, theirs = by_model[model], by_model[other]
        first, second = (per_question(each) for each in (ours, theirs))
        apart = {name: np.subtract(first[name], second[name], dtype=float) for name in COMPARED if name in first}
        found += [Difference(model, other, name, mean_of_differences(each)) for name, each in apart.items()]
        found.append(Difference(model, other, "letter_bias", bias_difference(ours, theirs)))
    return found


def per_question(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Returns the compared metrics that have a value for each question."""
    traces, answers = ([row[key] for row in rows] for key in ("trace_choice", "first_choice"))
    return {
        "accuracy": np.array([float(row["correct"]) for row in rows]),
        "option_shuffle_consistency": np.array(
            [np.nan if row["consistent"] is None else row["consistent"] for row in rows]
        ),
        "trace_answer_consistency": trace_answer_consistency(traces, answers),
    }


def bias_difference(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> Estimate:
    """Estimates the difference in letter bias with a percentile bootstrap over questions, the same for both models."""

    def bias(rows: Sequence[Mapping[str, Any]], chosen: np.ndarray) -> float:
        picked = [rows[i] for i in chosen]
        choices, gold = ([row[key] for row in picked] for key in ("first_choice", "gold"))
        answered, right = (letter_shares(each, len(rows[0]["options"])) for each in (choices, gold))
        return float(np.abs(answered - right).sum() / 2)

    def statistic(chosen: np.ndarray) -> float:
        return bias(ours, chosen) - bias(theirs, chosen)

    every = np.arange(len(ours))
    ends = bootstrap((every,), statistic, vectorized=False, n_resamples=RESAMPLES, method="percentile", rng=0)
    low, high = ends.confidence_interval
    return Estimate(statistic(every), float(low), float(high), len(every))


def verdict(difference: Difference) -> str:
    """Words a difference by its interval.

    Example:
        >>> verdict(Difference("acre-0", "sft", "letter_bias", Estimate(-0.2, -0.3, -0.1, 200)))
        'acre-0 is better than sft in letter bias: -0.20 [-0.30, -0.10]'
    """
    model, other, metric, estimate = difference
    if estimate.verdict() is None:
        return f"{model} and {other} cannot be told apart in {SHOWN[metric]}: {estimate}"
    good = (estimate.value > 0) != (metric in BETTER_BELOW)
    return f"{model} is {'better' if good else 'worse'} than {other} in {SHOWN[metric]}: {estimate}"


def over_seeds(found: Mapping[int, Sequence[Difference]]) -> list[Difference]:
    """Averages the differences of the same arms over seeds, with Student's t-interval."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for seed, each in found.items():
        for model, other, metric, estimate in each:
            names = (name.removesuffix(f"-{seed}") for name in (model, other))
            values.setdefault((*names, metric), []).append(estimate.value)  # type: ignore[arg-type]
    return [Difference(*key, mean_over_seeds(numbers)) for key, numbers in values.items()]


def write_numbers(
    path: Path,
    seeds: Sequence[int],
    models: Mapping[str, Mapping[str, Estimate]],
    compared: Mapping[int, Sequence[Difference]],
) -> None:
    """Writes what every model is worth, and the differences of each seed and over seeds, with machine and versions."""

    def rows(found: Sequence[Difference]) -> list[dict[str, Any]]:
        return [each._asdict() | {"estimate": each.estimate._asdict()} for each in found]

    record = {
        "versions": installed_versions(),
        "seeds": list(seeds),
        "models": {name: {key: each._asdict() for key, each in metrics.items()} for name, metrics in models.items()},
        "differences": {seed: rows(found) for seed, found in compared.items()},
        "over_seeds": rows(over_seeds(compared)) if len(seeds) > 1 else [],
    }
    write_whole(path, json.dumps(without_nan(record), indent=1) + "\n")


def merged_rows(folder: Path) -> list[Row]:
    """Arranges what each weight of a trained model is worth."""
    record = json.loads((folder / MERGING_FILE).read_text(encoding="utf-8"))
    rows = []
    for model in record["models"]:
        against = [model[key] for key in ("against_base", "against_tuned")]
        cells = [str(estimate_of(model["metrics"]["accuracy"])), *(str(estimate_of(a)) if a else "" for a in against)]
        counts = [str(len(model[key] or ())) for key in ("gained", "lost")]
        rows.append((folder.name, f"{model['alpha']:g}", *cells, *counts))
    return rows


def write_page(
    out: Path,
    warm: str,
    arms: Sequence[str],
    seeds: Sequence[int],
    commands: Sequence[str],
    numbers: Path | None = None,
) -> None:
    """Writes `walk_through.md` and prints its tables.

    Args:
        out: The folder of the walk.
        warm: How evaluations name what the arms start from.
        arms: What was trained by reinforcement learning, in this order.
        seeds: Of reinforcement learning.
        commands: Every command, without `align`.
        numbers: A file for the numbers of the page.
    """
    measured = {"before": next(iter(metrics_of(out / "evaluation-before").values()))}
    compared = {}
    for seed in seeds:
        folder = out / f"evaluation-{seed}"
        found = metrics_of(folder)
        order = [warm, *(f"{arm}-{seed}" for arm in arms)]
        measured |= {name: found[name] for name in order if seed == seeds[0] or name != warm}
        compared[seed] = differences(folder, order)
    if numbers is not None:
        write_numbers(numbers, seeds, measured, compared)
    worth: list[Row] = [(name, *cells(metrics)) for name, metrics in measured.items()]
    said = [each for found in compared.values() for each in found]
    weighed = [out / f"merged-{arm}-{seed}" for seed in seeds for arm in arms]
    merged = [row for folder in weighed if folder.is_dir() for row in merged_rows(folder)]
    number = said[0].estimate.n
    tables = {
        f"On {number:,} unbiased held-out questions, greedy answers, 95 % intervals": (
            ("stage", *SHOWN.values()),
            worth,
        ),
    }
    if merged:
        head = ("merged", "alpha", "accuracy", f"minus {warm}", "minus trained", "gained", "lost")
        tables["Merged with the warm start: accuracy, on the same questions"] = head, merged
    lines = [
        f"# {out.name}",
        "",
        *versions_of(out / f"{arms[0]}-{seeds[0]}"),
        "",
        "```bash",
        *(f"align {line}" for line in commands),
        "```",
    ]
    console = Console(width=150)
    for title, (head, rows) in tables.items():
        console.print(f"\n{title}", table_of(head, rows))
        lines += ["", f"**{title}**", "", *markdown(head, rows)]
    lines += ["", "**What helped and what did not**, paired by question; intervals of one seed are over questions", ""]
    lines += [f"- {verdict(each)}" for each in said]
    if len(seeds) > 1:
        averaged = over_seeds(compared)
        lines += ["", f"**Over {len(seeds)} seeds**, Student's t", "", *(f"- {verdict(each)}" for each in averaged)]
        said = averaged
    console.print("\n" + "\n".join(verdict(each) for each in said), highlight=False)
    write_whole(out / "walk_through.md", "\n".join(lines) + "\n")
    console.print(f"\nThe page is {out / 'walk_through.md'}; each folder in {out} has a report.html.", highlight=False)


def cells(metrics: Mapping[str, Estimate]) -> list[str]:
    """Writes the shown metrics of a model; a policy without valid answers has no letters."""
    return [str(metrics[metric]) if metric in metrics else "no data" for metric in SHOWN]


def versions_of(folder: Path) -> list[str]:
    """Says where and with what a run was trained."""
    found = json.loads((folder / "versions.json").read_text(encoding="utf-8"))
    names = ("truealign", "torch", "trl", "transformers")
    return [
        f"{found['machine']}, {found['cpus']} CPUs, Python {found['python']}, "
        + ", ".join(f"{n} {found[n]}" for n in names)
        + "."
    ]


def table_of(head: Sequence[str], rows: Sequence[Row]) -> Table:
    """Arranges rows for the console."""
    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table


def markdown(head: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Arranges rows as a table of Markdown."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
