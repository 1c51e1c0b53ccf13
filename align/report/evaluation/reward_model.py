"""The page of evaluated reward models."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from align.evaluation.record import Record
from align.evaluation.record.details import OfScores, ScoringProfile
from align.evaluation.record.record import EvaluatedModel
from align.evaluation.statistics.metrics import less, told
from align.logs.log_rows import rows_of
from align.report.charts.curve import draw_curves
from align.report.evaluation.items import count, list_names
from align.report.evaluation.measured import (
    Cells,
    Numbers,
    arrange,
    best_of,
    curve_of,
    draw_metrics,
    families,
    verdicts,
)
from align.report.evaluation.shortcuts import find_shortcut_problems, shortcut_sections
from align.report.evaluation.view import EvaluationView, Grid, Listing, Section
from align.report.run.finding import Finding

_FEW = 100
_SUBSETS = "reward_bench_2/"  # how their metrics begin
_STRONG = 0.4  # rank correlation of a margin with what is not quality
_SHARES = ("accuracy", "reward_bench", "reward_bench_2", "response_only_accuracy")
_FAMILIES = ("accuracy", "reward_bench_2", "accuracy_drop")  # of shares, and of differences of shares


def of_scores(path: Path, record: Record, numbers: Numbers) -> EvaluationView:
    """Arranges what the page has of its own."""
    metrics = list(dict.fromkeys(metric for cells in numbers.values.values() for metric in cells))
    groups = families([metric for metric in metrics if not metric.startswith("best_of_")])
    scored = [record.scores.get(name, OfScores()).scored for name in numbers.names]
    return EvaluationView(
        noun="pairs",
        main=groups.pop("", metrics[:1]),
        shares=_SHARES,
        verdict=verdicts(numbers, _told(numbers), _told(numbers)),
        findings=[*_find_problems(record, numbers.values), *find_shortcut_problems(record.scores)],
        few=[
            f"{name}: pairs of only {count(cell.n, 'prompt')}, however many pairs each has. Ask a few hundred."
            for name, cells in numbers.values.items()
            if (cell := cells.get("accuracy")) is not None and cell.n < _FEW <= record.about.data.questions
        ],
        facts={"Candidates": scored[0].best_of_n} if scored[0] and scored[0].best_of_n else {},
        models=Grid(("Model", "Path", "Type", "Texts"), list(map(_row, record.about.models, scored))),
        sections=[
            *(_section(family, members, numbers) for family, members in groups.items()),
            *shortcut_sections(record.scores),
            *_best_of_n(metrics, numbers),
        ],
        by_suite=False,
        listings=_changes(path.parent, numbers.names),
    )


def _told(numbers: Numbers) -> dict[str, str]:
    measured = numbers.values[numbers.names[0]]
    parts = [metric for metric in measured if metric.startswith(_SUBSETS)]
    told = {"accuracy": "Accuracy", "reward_bench_2": "RewardBench 2"}
    told |= {metric: f"RewardBench 2, {metric.removeprefix(_SUBSETS)}" for metric in parts if len(parts) == 1}
    return {metric: label for metric, label in told.items() if measured.get(metric) is not None}


def _find_problems(record: Record, values: Cells) -> Iterator[Finding]:
    for name, cells in values.items():
        accuracy = cells.get("accuracy")
        parts = {metric: cell for metric, cell in cells.items() if cell is not None and metric.startswith(_SUBSETS)}
        if parts and "reward_bench_2" not in cells:
            there = ", ".join(f"{metric.removeprefix(_SUBSETS)} ({cell.n})" for metric, cell in parts.items())
            yield Finding(f"{name}: no score of RewardBench 2, only of {there}", "It is the mean of its six subsets.")
        if name in record.scores and (scored := record.scores[name].scored) is not None:
            for missing, why, remedy in scored.unscored.reasons():
                yield Finding(f"{name}: {count(missing, 'pair')} {why}, and left out", f"{remedy}.")
        for metric, word in (("length_correlation", "length"), ("format_correlation", "format")):
            cell = cells.get(metric)
            if cell is not None and max(cell.low, -cell.high) > _STRONG:
                yield Finding(
                    f"{name}: its margins go with {word} (rank correlation {told(cell)})",
                    f"Part of what it rewards may be {word}. Look at the transformations below.",
                )
        alone = cells.get("response_only_accuracy")
        if alone is not None and accuracy is not None and alone.low > 0.5 and less(alone, accuracy).low > -0.05:
            yield Finding(
                f"{name}: without the prompt it is right as often ({told(alone)} against {told(accuracy)})",
                "These pairs can be told apart without reading the question, so they do not test whether it is read.",
            )


def _row(model: EvaluatedModel, scored: ScoringProfile | None) -> tuple[str, ...]:
    if scored is None:
        return model.name, model.path, "", ""
    texts = "chat template" if scored.texts_in_template else "as they are"
    return model.name, model.path, scored.model_type, texts


def _section(family: str, members: Sequence[str], numbers: Numbers) -> Section:
    labels = {metric: metric.partition("/")[2] for metric in members}
    title, shares = numbers.words.family(family), members if family in _FAMILIES else ()
    charts = draw_metrics(title, "With 95 % intervals.", members, numbers.values, labels, shares)
    return Section(title, "", charts, arrange(members, numbers))


def _best_of_n(metrics: Sequence[str], numbers: Numbers) -> list[Section]:
    chosen = [metric for metric in metrics if metric.startswith("best_of_")]
    if not chosen:
        return []
    curves = [
        curve
        for colour, (name, cells) in enumerate(numbers.values.items())
        for curve in curve_of(name, best_of(cells), colour)
    ]
    note = "A curve that bends down: the model is exploited by the responses it likes most."
    charts = [draw_curves("True quality of the best of n", note, curves, "responses chosen from")] if curves else []
    return [Section("Best of n", "", charts, arrange(chosen, numbers))]


def _changes(folder: Path, names: Sequence[str]) -> list[Listing]:
    """Lists the pairs that only one of two models puts in the right order, of those that both scored."""
    if not (folder / "pairs.jsonl").exists():
        return []
    rows, listings = list(rows_of(folder / "pairs.jsonl")), []
    for baseline in names[1:]:
        margins = [(str(row["id"]), *(row["margin"].get(name) for name in (names[0], baseline))) for row in rows]
        right = [(id, own > 0, other > 0) for id, own, other in margins if own is not None and other is not None]
        for ours, words in ((True, f"right where {baseline} is wrong"), (False, f"wrong where {baseline} is right")):
            found = [id for id, is_right, is_theirs in right if is_right is ours and is_theirs is not ours]
            title = f"{names[0]} is {words}: {count(len(found), 'pair')}"
            listings.append(list_names(title, found))
    return listings
