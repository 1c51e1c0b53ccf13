"""The page of a lab of commands: what each model is worth, and what of their differences can be told from nothing."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from align.evaluation.record import EVALUATION_FILE, Record, read_record
from align.evaluation.statistics.metrics import Estimate, less, mean_over_seeds
from align.versions import installed_versions
from align.whole_files import write_whole
from scripts.stages import Stage

SHOWN = {
    "accuracy": "accuracy",
    "option_shuffle_consistency": "option-shuffle consistency",
    "trace_answer_consistency": "trace = answer",
    "letter_bias": "letter bias",
    "letter_share/A": 'share of "A"',
    "answered": "answered",
}
COMPARED = ("accuracy", "option_shuffle_consistency", "trace_answer_consistency")
BIAS = "letter_bias"  # better if it is less
Measured = dict[str, dict[str, Estimate]]  # by model


class Difference(NamedTuple):
    """How much larger a metric of `model` is than that of `other`, on the same items."""

    model: str
    other: str
    metric: str
    estimate: Estimate


def differences(record: Record) -> list[Difference]:
    """Lists what an evaluation says of its model and each baseline, and how far their letter biases are apart."""
    found = []
    for (model, other), cells in record.differences().items():
        found += [Difference(model, other, metric, cells[metric]) for metric in COMPARED if metric in cells]
        bias = less(record.summary(model)[BIAS], record.summary(other)[BIAS])
        found.append(Difference(model, other, BIAS, bias))
    return found


def read_evaluations(
    out: Path, warm: str, arms: Sequence[str], seeds: Sequence[int]
) -> tuple[Measured, dict[int, list[Difference]]]:
    """Reads the evaluations of all arms, each of which has what they start from and the arms before as baselines."""
    measured: Measured = {}
    compared: dict[int, list[Difference]] = {seed: [] for seed in seeds}
    for seed in seeds:
        for arm in arms:
            record = read_record(out / f"evaluation-{arm}-{seed}" / EVALUATION_FILE)
            measured |= {name: record.summary(name) for name in (warm, f"{arm}-{seed}")}
            compared[seed] += differences(record)
    return measured, compared


def verdict(difference: Difference, labels: Mapping[str, str] = SHOWN) -> str:
    """Words a difference by its interval.

    Example:
        >>> verdict(Difference("acre-0", "sft", "letter_bias", Estimate(-0.2, -0.3, -0.1, 200)))
        'acre-0 is better than sft in letter bias: -0.20 [-0.30, -0.10]'
    """
    model, other, metric, estimate = difference
    if estimate.verdict() is None:
        return f"{model} and {other} cannot be told apart in {labels[metric]}: {estimate}"
    good = (estimate.value > 0) != (metric == BIAS)
    return f"{model} is {'better' if good else 'worse'} than {other} in {labels[metric]}: {estimate}"


def over_seeds(found: Mapping[int, Sequence[Difference]]) -> list[Difference]:
    """Averages the differences of the same arms over seeds, with Student's t-interval."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for seed, each in found.items():
        for model, other, metric, estimate in each:
            names = (name.removesuffix(f"-{seed}") for name in (model, other))
            values.setdefault((*names, metric), []).append(estimate.value)  # type: ignore[arg-type]
    return [Difference(*key, mean_over_seeds(numbers)) for key, numbers in values.items()]


def write_page(
    path: Path,
    measured: Measured,
    compared: Mapping[int, Sequence[Difference]],
    commands: Sequence[Stage],
    *,
    labels: Mapping[str, str] = SHOWN,
    about: str = "",
) -> None:
    """Writes and prints a page of Markdown.

    Args:
        path: Where to.
        measured: The metrics of each model.
        compared: The differences of each seed; those over seeds follow from them.
        commands: What was run.
        labels: The metrics that are shown, and how they are called.
        about: A sentence before the tables.
    """
    averaged = over_seeds(compared) if len(compared) > 1 else []
    rows = [
        (name, *(str(metrics.get(each, Estimate(math.nan, math.nan, math.nan, 0))) for each in labels))
        for name, metrics in measured.items()
    ]
    versions = ", ".join(f"{name} {value}" for name, value in installed_versions().items())
    lines = [f"# {path.stem.replace('_', ' ')}, seeds {list(compared)}", "", versions, ""]
    lines += [about, ""] if about else []
    lines += [f"| {' | '.join(row)} |" for row in (("model", *labels.values()), ("---",) * (len(labels) + 1), *rows)]
    for title, said in (
        ("by item, of each seed", [each for found in compared.values() for each in found]),
        ("Student's t over seeds", averaged),
    ):
        if said:
            lines += ["", f"**What helped and what did not** ({title})", ""]
            lines += [f"- {verdict(each, labels)}" for each in said]
    text = "\n".join([*lines, "", "```bash", *(stage.line for stage in commands), "```"]) + "\n"
    write_whole(path, text)
    print(text)
