"""The page of merged models: what each weight of the tuned model is worth."""

import json
from collections.abc import Iterator
from pathlib import Path

from align.errors import RunFolderError
from align.evaluation.record.merging import MERGING_FILE, MergedModel, MergingRecord
from align.evaluation.statistics.glossary import better_of
from align.evaluation.statistics.metrics import Estimate
from align.evaluation.suites import explain, glossary
from align.report.charts.curve import draw_curves
from align.report.charts.drawing import Chart
from align.report.evaluation.measured import MetricWords, compared, curve_of
from align.report.evaluation.page import PAGE
from align.report.evaluation.view import EvaluationView, Grid, Section
from align.report.page import write_page
from align.report.run.finding import Finding

_CHARTED = ("worst_group", "drift_kl")
_SHARES = ("accuracy", "worst_group")
_PICKED = Finding(
    "The weight was picked on these items",
    "The best of several looks better than it is. Evaluate the picked model on items that were not used here.",
)


def build_merging_report(folder: Path, out: Path | None = None) -> Path:
    """Writes the page of a merge, `report.html` in its folder if no other file is given."""
    try:
        merging = MergingRecord.model_validate(json.loads((folder / MERGING_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder / MERGING_FILE} cannot be read: {error}. Merge again.") from error
    view = merging_view(merging)
    return write_page(PAGE, out or folder / "report.html", title=view.title, view=view)


def merging_view(merging: MergingRecord) -> EvaluationView:
    """Arranges the record of a merge."""
    words = MetricWords(glossary())
    metrics = [merging.metric, *(name for name in _CHARTED if any(name in each.metrics for each in merging.models))]
    charts = [_chart(merging, metric, words.label(metric)) for metric in metrics]
    columns = ("alpha", *map(words.label, metrics), "minus base", "minus tuned", "kept in")
    rows = [_row(model, metrics) for model in merging.models]
    note = "alpha is the weight of the tuned model. Differences are on the same items."
    return EvaluationView(
        title=f"{merging.tuned} merged with {merging.base}",
        verdict=list(_verdict(merging, words)),
        figure=charts[:1],
        findings=[] if merging.picked is None else [_PICKED],
        facts={"Base": merging.base, "Tuned": merging.tuned, "Data": merging.data, "Items": f"{merging.questions:,}"},
        models=Grid(("alpha", "Model"), [(f"{each.alpha:g}", each.path or "not kept") for each in merging.models]),
        sections=[Section("What each weight is worth", note, charts[1:], None, [Grid(columns, rows)])],
    )


def _chart(merging: MergingRecord, metric: str, label: str) -> Chart:
    curves = curve_of(label, ((each.alpha, each.metrics.get(metric)) for each in merging.models), 0)
    return draw_curves(label, "Bands are 95 % intervals.", curves, "alpha", share=metric in _SHARES, doubles=False)


def _row(model: MergedModel, metrics: list[str]) -> list[str]:
    cells: list[Estimate | None] = [model.metrics.get(metric) for metric in metrics]
    cells += [model.against_base, model.against_tuned]
    shown = ["" if cell is None else str(cell) for cell in cells]
    return [f"{model.alpha:g}", *shown, model.path or "not kept"]


def _verdict(merging: MergingRecord, words: MetricWords) -> Iterator[str]:
    inner = [model for model in merging.models if 0 < model.alpha < 1]
    base, tuned = (next((each for each in merging.models if each.alpha == end), None) for end in (0, 1))
    label = words.label(merging.metric)
    if base is not None and tuned is not None and tuned.against_base is not None:
        told = compared(
            "the tuned model",
            tuned.metrics[merging.metric],
            "the base",
            base.metrics[merging.metric],
            tuned.against_base,
            is_share=merging.metric in _SHARES,
        )
        yield f"{label}: {told}."
    better = better_of(explain(merging.metric), merging.metric, merging.sides)
    words_for = [("better than", better == "higher")]
    if better is None:
        words_for = [(f"higher in {label} than", True), (f"lower in {label} than", False)]
    for said, is_above in words_for if inner else ():
        side = "above" if is_above else "below"
        against = [(each, (each.against_base, each.against_tuned)) for each in inner]
        beats = [each for each, both in against if all(one is not None and one.verdict() == side for one in both)]
        listed = ", ".join(f"{each.alpha:g}" for each in beats)
        yield (
            f"Merged models that are {said} both parents, as far as can be told: alpha {listed}."
            if beats
            else f"No merged model can be told to be {said} both parents."
        )
    if merging.rule is not None:
        chosen = "none fits, so all are kept" if merging.picked is None else f"alpha {merging.picked:g}"
        yield f"Picked by `{merging.rule}`: {chosen}."
