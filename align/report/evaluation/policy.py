"""The page of evaluated policies."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from align.evaluation.record import ITEMS_FILE
from align.evaluation.record.answers import Answers, among_all
from align.evaluation.record.policies import PolicyRecord
from align.evaluation.statistics.metrics import Estimate
from align.report.charts.drawing import Chart
from align.report.evaluation.about import policy_details, policy_facts, policy_models
from align.report.evaluation.abstention import abstention_section, difficulty_section
from align.report.evaluation.curves import audit_section, best_of_n_section
from align.report.evaluation.findings import find_evaluation_problems
from align.report.evaluation.items import count, list_changes, note_items, pick_items
from align.report.evaluation.measured import (
    Cells,
    Words,
    all_known,
    arrange,
    count_compared,
    draw_metrics,
    families,
    known,
)
from align.report.evaluation.shares import compared, in_percent
from align.report.evaluation.view import EvaluationView, Section

# The headline: is it better, and for the right reason? Where a suite was not run its rows are missing.
_HEADLINE = (
    "accuracy", "worst_group", "counter_drop", "rotation_robust_accuracy", "option_shuffle_consistency",
    "trace_answer_consistency", "cr_wa", "trace_reliance", "modality_reliance/no_images",
    "modality_reliance/other_images", "modality_reliance/shuffled_frames",
    "letter_or_answer_in_trace", "letter_bias", "answered",
)  # fmt: skip
_VERDICTS = ("accuracy", "option_shuffle_consistency", "trace_reliance", "modality_reliance/no_images")
_SUITES = {
    "accuracy": "Accuracy",
    "consistency": "Consistency of the answers",
    "rotation": "Every option in every place",
    "reliance": "Reliance on the trace, and leaks",
    "modality": "Reliance on the images",
    "best_of_n": "Best of n",
    "pairs": "Log-probs of the pairs",
    "judge": "What the judge prefers, asked in both orders",
}

_SHARES_OF_OTHERS = ("acc", "acc_norm", "exact_match")

Estimates = dict[str, dict[str, Estimate | None]]


def title(names: Sequence[str]) -> str:
    """Names the page after its models."""
    return f"{names[0]} against {', '.join(names[1:])}" if names[1:] else f"Evaluation of {names[0]}"


def policy_view(folder: Path, record: PolicyRecord) -> EvaluationView:
    """Arranges the record of evaluated policies."""
    about, words = record.about, Words(record.glossary)
    names = [model.name for model in about.models]
    values, differences = collect(record)
    metrics, shares = _present(record, values), _shares(record)
    return EvaluationView(
        title=title(names),
        verdict=list(_verdict(names, values, differences, record, words)),
        findings=find_evaluation_problems(record.warnings, about.data.questions, values, differences),
        headline=arrange(metrics, values, differences, words) if metrics else None,
        compared=count_compared(differences),
        charts=headline_charts(metrics, values, differences, words, shares),
        facts=policy_facts(about),
        models=policy_models(about.models),
        details=policy_details(about),
        sections=[
            *suite_sections(record, words, shares),
            *best_of_n_section(record.curves),
            *audit_section(record.audits),
            *difficulty_section(record.audits),
            *abstention_section(record.audits),
        ],
        listings=list_changes(record.paired),
        items=(picked := pick_items(folder / ITEMS_FILE, names, record.paired)),
        items_note=note_items(
            len(picked),
            "item",
            record.paired,
            "those whose answers change when the options are reordered, then wrong and right ones",
        ),
    )


def collect(record: Answers) -> tuple[Estimates, Estimates]:
    """Arranges what was measured: by model and metric, and the differences by pair of models and metric."""
    values: Estimates = {model.name: {} for model in record.about.models}
    for suite, by_model in record.suites.items():
        for name, cells in by_model.items():
            found = {among_all(suite, metric): cell for metric, cell in cells.items()}
            values.setdefault(name, {}).update(all_known(found))
    columns: Estimates = {}
    for row in record.comparisons:
        metric = among_all(row.suite, row.metric)
        columns.setdefault(f"{row.model} - {row.baseline}", {})[metric] = known(row.difference)
    return values, columns


def _present(record: PolicyRecord, values: Cells) -> list[str]:
    """Lists the headline's metrics that were measured; of other suites the first metric stands for all."""
    measured = {metric for cells in values.values() for metric, cell in cells.items() if cell is not None}
    firsts = [
        next((among_all(name, metric) for cells in suite.values() for metric in cells), "")
        for name, suite in record.suites.items()
        if name not in _SUITES
    ]
    return [metric for metric in (*_HEADLINE, *firsts) if metric in measured]


def _shares(record: PolicyRecord) -> set[str]:
    """Lists the metrics that are shares, or differences of shares; of another harness's those that count rows."""
    return {
        name
        for suite, by_model in record.suites.items()
        for cells in by_model.values()
        for metric in cells
        if (metric.partition("/")[0] in _SHARES_OF_OTHERS if suite not in _SUITES else not metric.endswith("/proxy"))
        for name in (metric, among_all(suite, metric))
    }


def headline_charts(
    metrics: Sequence[str], values: Cells, differences: Cells, words: Words, shares: Collection[str]
) -> list[Chart]:
    """Draws the main metrics, and their differences, those that are shares first; see `draw_metrics`."""
    labels = {metric: words.label(metric) for metric in metrics}
    charts = []
    for is_share in (True, False):  # no axis is of both
        alike = [metric for metric in metrics if (metric in shares) is is_share]
        charts += [
            draw_metrics("Main metrics", "Dots are estimates, bars their 95 % intervals.", alike, values, labels,
                         is_share=is_share),
            draw_metrics(
                "Differences on the same items", "A bar that does not touch 0 is a difference that can be told.",
                alike, differences, labels, is_share=is_share,
            ),
        ]  # fmt: skip
    return [chart for chart in charts if chart]


def _verdict(
    names: Sequence[str], values: Cells, differences: Cells, record: PolicyRecord, words: Words
) -> Iterator[str]:
    """Says whether the first model is better than each baseline, and whether for the right reason."""
    first = values[names[0]]
    if not names[1:] and (alone := first.get("accuracy")) is not None:
        yield f"{names[0]} is right on {in_percent(alone)} of items; there is no baseline to compare with."
    for baseline in names[1:]:
        column = differences.get(f"{names[0]} - {baseline}", {})
        for metric in _VERDICTS:
            ours, theirs, difference = first.get(metric), values[baseline].get(metric), column.get(metric)
            if difference is not None and ours is not None and theirs is not None:
                told = compared(names[0], ours, baseline, theirs, difference, is_share=True)
                changes = _changes(record, names[0], baseline) if metric == "accuracy" else ""
                yield f"{words.label(metric)}: {told}{changes}."


def _changes(record: PolicyRecord, model: str, baseline: str) -> str:
    row = next((row for row in record.paired if (row.model, row.baseline) == (model, baseline)), None)
    if row is None:
        return ""
    p = row.mcnemar_p
    test = "" if p is None else f" (McNemar p {'below 0.001' if p < 0.001 else f'= {p:.3f}'})"
    return f", {count(len(row.wins), 'item')} won and {len(row.losses):,} lost{test}"


def suite_sections(record: Answers, words: Words, shares: Collection[str]) -> Iterator[Section]:
    """Yields a section for each suite: a chart for each family of its metrics, and all of them as a table.

    Args:
        record: What was measured.
        words: Labels of metrics.
        shares: Metrics that are shares, or differences of shares.
    """
    for name, suite in record.suites.items():
        metrics = list(dict.fromkeys(metric for cells in suite.values() for metric in cells))
        own = {model: all_known(cells) for model, cells in suite.items()}
        differences: Estimates = {f"{row.model} - {row.baseline}": {} for row in record.comparisons}
        for row in record.comparisons:
            if row.suite == name:
                differences[f"{row.model} - {row.baseline}"][row.metric] = known(row.difference)
        charts = []
        for family, members in families(metrics).items():
            labels = {
                metric: _within(name, metric.partition("/")[2]) if family else words.label(metric)
                for metric in members
            }
            title = words.family(family) if family else _SUITES.get(name, name)
            if name == "best_of_n" or (family and len(members) == 1):
                continue
            for is_share in (True, False):  # no axis is of both
                alike = [metric for metric in members if (metric in shares) is is_share]
                charts.append(draw_metrics(title, "", alike, own, labels, is_share=is_share))
        table = arrange(metrics, own, differences, words)
        yield Section(_SUITES.get(name, name), "", [chart for chart in charts if chart], table)


def _within(suite: str, label: str) -> str:
    """Leaves the name of a section out of a label in it: metrics of a reward end in its name, then in a group.

    Example:
        >>> _within("brevity", "brevity/poems"), _within("brevity", "brevity"), _within("brevity", "poems")
        ('poems', 'all', 'poems')
    """
    return "all" if label == suite else label.removeprefix(f"{suite}/")
