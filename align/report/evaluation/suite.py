"""The page of policies that a suite with rows of its own measured."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.evaluation.record import ITEMS_FILE
from align.evaluation.record.answers import PairedAnswers
from align.evaluation.record.suites import SuiteRecord
from align.report.charts.axis import format_number
from align.report.evaluation.about import policy_details, policy_models, suite_facts
from align.report.evaluation.findings import few_items, written_warning
from align.report.evaluation.folder import read_items
from align.report.evaluation.items import list_changes, note_items
from align.report.evaluation.measured import Cells, Words, arrange, count_compared
from align.report.evaluation.policy import collect, headline_charts, suite_sections, title
from align.report.evaluation.shares import compared, in_percent
from align.report.evaluation.view import EvaluationView, Item, Side
from align.report.run.completions import shorten

_MOST_ITEMS, _MOST_EACH, _MOST_SIDES, _MOST_ROWS = 40, 12, 4, 6
_MOST_FACT = 300  # characters
_APART = ("id", "group", "model", "prompt", "completion", "correct")  # columns with a place of their own
Row = Mapping[str, Any]


def suite_view(folder: Path, record: SuiteRecord) -> EvaluationView:
    """Arranges the record of a suite."""
    about, words = record.about, Words(record.glossary)
    names = [model.name for model in about.models]
    values, differences = collect(record)
    metrics = [metric for metric in _headline(record) if metric in values[names[0]]]
    picked = _pick(folder / ITEMS_FILE, names, record.paired)
    return EvaluationView(
        title=title([f"{each.name} (control)" if each.role == "control" else each.name for each in about.models]),
        verdict=list(_verdict(metrics, names, values, differences, words, record.shares)),
        findings=[*map(written_warning, record.warnings), *few_items(about.data.questions, "items")],
        headline=arrange(metrics, values, differences, words) if metrics else None,
        compared=count_compared(differences),
        charts=headline_charts(metrics, values, differences, words, record.shares),
        facts=suite_facts(about),
        models=policy_models(about.models),
        details=policy_details(about),
        sections=list(suite_sections(record, words, record.shares)),
        listings=list_changes(record.paired),
        items=picked,
        items_note=note_items(len(picked), "item", record.paired, "wrong and right ones"),
    )


def _headline(record: SuiteRecord) -> list[str]:
    """Lists the metrics to show first; a name that ends in a slash stands for all that begin so."""
    measured = list(
        dict.fromkeys(name for suite in record.suites.values() for cells in suite.values() for name in cells)
    )
    return [
        metric
        for name in record.about.headline
        for metric in measured
        if metric == name or (name.endswith("/") and metric.startswith(name))
    ]


def _verdict(
    metrics: Sequence[str],
    names: Sequence[str],
    values: Cells,
    differences: Cells,
    words: Words,
    shares: Collection[str],
) -> Iterator[str]:
    """Says of each main metric what it is, and whether it differs from each baseline's."""
    for metric in metrics:
        is_share = metric in shares
        ours = values[names[0]].get(metric)
        if ours is None:
            yield f"{words.label(metric)}: not measured."
        elif not names[1:]:
            yield f"{words.label(metric)}: {in_percent(ours) if is_share else ours} for {names[0]}."
        for baseline in names[1:]:
            theirs = values[baseline].get(metric)
            difference = differences.get(f"{names[0]} - {baseline}", {}).get(metric)
            if ours is not None and theirs is not None and difference is not None:
                show = in_percent if is_share else str
                told = compared(names[0], ours, baseline, theirs, difference, is_share=is_share, show=show)
                yield f"{words.label(metric)}: {told}."


def _pick(path: Path, models: Sequence[str], paired: Sequence[PairedAnswers]) -> list[Item]:
    """Picks a bounded number of items, and reads the text of these only."""
    rows = [row for row in read_items(path, ("id", "model", "correct")) if row["model"] == models[0]]
    why: dict[str, str] = {}
    for reason, ids in _reasons(rows, paired):
        fresh = list(dict.fromkeys(name for name in ids if name not in why))
        step = max(1, -(-len(fresh) // _MOST_EACH))
        why |= dict.fromkeys(fresh[::step][: min(_MOST_EACH, _MOST_ITEMS - len(why))], reason)
    if not why:
        return []
    full: dict[str, dict[str, list[Row]]] = {}
    for row in read_items(path, ids=list(why)):
        full.setdefault(str(row["id"]), {}).setdefault(str(row["model"]), []).append(row)
    return [_item(full[name], name, reason, models) for name, reason in why.items() if name in full]


def _reasons(rows: Sequence[Row], paired: Sequence[PairedAnswers]) -> Iterator[tuple[str, list[str]]]:
    for pair in paired[:1]:
        yield "won", pair.wins
        yield "lost", pair.losses
    for reason, is_right in (("wrong", False), ("right", True), ("item", None)):
        yield reason, [str(row["id"]) for row in rows if row.get("correct") is is_right]


def _item(by_model: Mapping[str, Sequence[Row]], name: str, why: str, models: Sequence[str]) -> Item:
    answered = [model for model in models if model in by_model][:_MOST_SIDES]
    row = by_model[answered[0]][0]
    tags = [str(row["group"])] if row.get("group") else []
    sides = [
        _side(model if len(rows) == 1 else f"{model} ({number})", each)
        for model in answered
        for rows in (by_model[model][:_MOST_ROWS],)
        for number, each in enumerate(rows, 1)
    ]
    return Item(why, name, tags, _cut(row.get("prompt")), [], sides)


def _side(name: str, row: Row) -> Side:
    facts = {
        column.replace("_", " "): _fact(value)
        for column, value in row.items()
        if column not in _APART and value is not None
    }
    is_right = row.get("correct")
    verdict = "" if is_right is not None else "measured"
    return Side(name, bool(is_right), facts, "", _cut(row.get("completion")), False, verdict)


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value)
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _MOST_FACT else f"{text[:_MOST_FACT]}..."


def _cut(text: str | None) -> str:
    return shorten(text, "items.parquet")
