"""The page of evaluated reward models."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from align.evaluation.record.models import Measured, ModelsRecord, Scored
from align.evaluation.statistics.glossary import REWARD_MODEL_GLOSSARY
from align.evaluation.statistics.metrics import Estimate
from align.report.charts.curve import Curve, draw_curves
from align.report.charts.drawing import Chart
from align.report.evaluation.items import count, list_names, read_lines
from align.report.evaluation.measured import (
    Cells,
    Numbers,
    Words,
    arrange,
    collect,
    count_compared,
    draw_metrics,
    families,
    in_percent,
)
from align.report.evaluation.shortcuts import find_shortcut_problems, shortcut_sections
from align.report.evaluation.view import EvaluationView, Grid, Listing, Section
from align.report.run.facts import flat
from align.report.run.finding import Finding

_FEW = 100
_SUBSETS = "reward_bench_2/"  # how their metrics begin
_STRONG = 0.5  # rank correlation of a margin with what is not quality
_MAIN = ("accuracy", "reward_bench", "reward_bench_2", "response_only_accuracy")
_SHARES = ("accuracy", "reward_bench_2", "accuracy_drop")  # families of shares, and of differences of shares


def reward_model_view(folder: Path, record: ModelsRecord) -> EvaluationView:
    """Arranges the record of evaluated reward models."""
    models, numbers = record.models, collect(record, Words(REWARD_MODEL_GLOSSARY))
    names, values, _, words = numbers
    metrics = list(dict.fromkeys(metric for cells in values.values() for metric in cells))
    groups = families([metric for metric in metrics if not metric.startswith("best_of_")])
    headline = arrange(groups.pop("", metrics[:1]), numbers)
    labels = {row_metric: words.label(row_metric) for row_metric in metrics}
    main = [metric for metric in _MAIN if metric in metrics]
    charts = [draw_metrics("Main metrics", "With 95 % intervals.", main, values, labels, is_share=True)]
    return EvaluationView(
        title=f"{names[0]} against {', '.join(names[1:])}" if names[1:] else f"Evaluation of {names[0]}",
        verdict=list(_verdict(numbers)),
        findings=[*_find_problems(models, values), *find_shortcut_problems(models)],
        headline=headline,
        compared=count_compared(numbers.differences),
        charts=[chart for chart in charts if chart],
        facts=_facts(models[names[0]].scored),
        models=_models(models),
        details={},
        sections=[
            *(_section(family, members, numbers) for family, members in groups.items()),
            *shortcut_sections(models),
            *_best_of_n(metrics, numbers),
        ],
        listings=_changes(folder, names),
    )


def _verdict(numbers: Numbers) -> Iterator[str]:
    model, *baselines = numbers.names
    parts = [metric for metric in numbers.values[model] if metric.startswith(_SUBSETS)]
    told = [("accuracy", "Accuracy"), ("reward_bench_2", "RewardBench 2")]
    told += [(metric, f"RewardBench 2, {metric.removeprefix(_SUBSETS)}") for metric in parts if len(parts) == 1]
    for metric, word in told:
        if not baselines and (alone := numbers.of_first(metric)) is not None:
            yield f"{word}: {in_percent(alone)} for {model}; there is no baseline to compare with."
    for baseline in baselines:
        for metric, word in told:
            if sentence := numbers.told(metric, baseline, is_share=True):
                yield f"{word}: {sentence}."


def _find_problems(models: Mapping[str, Measured], values: Cells) -> Iterator[Finding]:
    for name, cells in values.items():
        accuracy = cells.get("accuracy")
        if accuracy is not None and accuracy.n < _FEW:
            yield Finding(
                f"{name}: pairs of only {count(accuracy.n, 'prompt')}",
                "Intervals are wide, however many pairs each prompt has. Evaluate on a few hundred prompts at least.",
            )
        parts = {metric: cell for metric, cell in cells.items() if cell is not None and metric.startswith(_SUBSETS)}
        if parts and "reward_bench_2" not in cells:
            there = ", ".join(f"{metric.removeprefix(_SUBSETS)} ({cell.n})" for metric, cell in parts.items())
            yield Finding(f"{name}: no score of RewardBench 2, only of {there}", "It is the mean of its six subsets.")
        scored = models[name].scored
        if scored is not None:
            for missing, why, remedy in scored.unscored.reasons():
                yield Finding(f"{name}: {count(missing, 'pair')} {why}, and left out", f"{remedy}.")
        for metric, word in (("length_correlation", "length"), ("format_correlation", "format")):
            cell = cells.get(metric)
            if cell is not None and abs(cell.value) > _STRONG:
                yield Finding(
                    f"{name}: its margins go with {word} (rank correlation {cell.value:.2f})",
                    f"Part of what it rewards may be {word}. Look at the transformations and insertions below.",
                )
        alone = cells.get("response_only_accuracy")
        if alone is not None and accuracy is not None and alone.low > 0.5 and alone.value > accuracy.value - 0.05:
            yield Finding(
                f"{name}: without the prompt it is right as often ({alone.value:.2f} against {accuracy.value:.2f})",
                "These pairs can be told apart without reading the question, so they do not test whether it is read.",
            )


def _facts(scored: Scored | None) -> dict[str, str]:
    if scored is None:
        return {}
    facts = {"Data": scored.data, "Candidates": scored.best_of_n, "Seed": str(scored.seed)}
    facts |= {"Rows left out": flat(scored.left_out) or None}
    return {label: text for label, text in facts.items() if text is not None}


def _models(models: Mapping[str, Measured]) -> Grid:
    return Grid(("Model", "Path", "Type", "Texts"), [_row(name, model.scored) for name, model in models.items()])


def _row(name: str, scored: Scored | None) -> tuple[str, ...]:
    if scored is None:
        return name, "", "", ""
    return name, scored.path, scored.model_type, "chat template" if scored.texts_in_template else "as they are"


def _section(family: str, members: Sequence[str], numbers: Numbers) -> Section:
    labels = {metric: metric.partition("/")[2] for metric in members}
    title, is_share = numbers.words.family(family), family in _SHARES
    chart = draw_metrics(title, "With 95 % intervals.", members, numbers.values, labels, is_share=is_share)
    return Section(title, "", [chart] if chart else [], arrange(members, numbers))


def _best_of_n(metrics: Sequence[str], numbers: Numbers) -> list[Section]:
    chosen = [metric for metric in metrics if metric.startswith("best_of_")]
    if not chosen:
        return []
    curves = []
    for colour, (name, cells) in enumerate(numbers.values.items()):
        points = {metric.removeprefix("best_of_"): cells.get(metric) for metric in chosen}
        known: list[tuple[int, Estimate]] = [(int(n), cell) for n, cell in points.items() if n.isdigit() and cell]
        if known:
            counts, cells_of = zip(*known, strict=True)
            low, high = [cell.low for cell in cells_of], [cell.high for cell in cells_of]
            curves.append(Curve(name, counts, [cell.value for cell in cells_of], low, high, colour))
    charts: list[Chart] = []
    if curves:
        note = "A curve that bends down: the model is exploited by the responses it likes most."
        charts.append(draw_curves("True quality of the best of n", note, curves, "responses chosen from"))
    return [Section("Best of n", "", charts, arrange(chosen, numbers))]


def _changes(folder: Path, names: Sequence[str]) -> list[Listing]:
    """Lists the pairs that only one of two models puts in the right order, of those that both scored."""
    rows = read_lines(folder / "pairs.jsonl")
    listings = []
    for baseline in names[1:]:
        margins = [(str(row["id"]), *(row["margin"].get(name) for name in (names[0], baseline))) for row in rows]
        right = [(id, own > 0, other > 0) for id, own, other in margins if own is not None and other is not None]
        for ours, words in ((True, f"right where {baseline} is wrong"), (False, f"wrong where {baseline} is right")):
            found = [id for id, is_right, is_theirs in right if is_right is ours and is_theirs is not ours]
            title = f"{names[0]} is {words}: {count(len(found), 'pair')}"
            listings.append(list_names(title, found))
    return listings if rows else []
