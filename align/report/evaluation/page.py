"""One HTML file about an evaluation: the same frame whatever was asked, with what each kind has of its own."""

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE, SCORES, Record, read_record
from align.evaluation.record.record import About, AskingProfile, EvaluatedModel, Warned
from align.progress import words_of_time
from align.report.charts.axis import format_number
from align.report.charts.drawing import Chart
from align.report.evaluation.items import Row, count, cut, list_changes, note_items, pick_outcomes
from align.report.evaluation.measured import (
    MetricWords,
    Numbers,
    all_known,
    arrange,
    collect,
    count_compared,
    draw_metrics,
    families,
    known,
    main_charts,
    verdicts,
)
from align.report.evaluation.pairs import of_pairs
from align.report.evaluation.prompts import of_prompts
from align.report.evaluation.questions import of_questions
from align.report.evaluation.reward_model import of_scores
from align.report.evaluation.view import SUITES, EvaluationView, Grid, Item, Section, Side
from align.report.page import write_page
from align.report.run.facts import flat
from align.report.run.finding import Finding

_MOST_ROWS, _MOST_FACT = 6, 300  # of a model; characters
_LONG = 200  # characters
_APART = ("id", "group", "model", "prompt", "completion", "correct")  # columns with a place of their own


def of_suite(path: Path, record: Record, numbers: Numbers) -> EvaluationView:
    """Arranges what the page has of its own."""
    picked = pick_outcomes(path, numbers.names, record.paired, _item)
    headline = [
        metric
        for name in record.about.headline
        for metric in numbers.values[numbers.names[0]]
        if metric == name or (name.endswith("/") and metric.startswith(name))  # which stands for all that begin so
    ]
    settings, labels = _settings(record.about), {metric: numbers.words.label(metric) for metric in headline}
    return EvaluationView(
        label=record.about.rows.capitalize(),
        main=headline,
        shares=record.shares,
        verdict=verdicts(numbers, labels, record.shares, record.paired),
        facts={name: text for name, text in settings.items() if not _is_long(text)},
        details={name: text for name, text in settings.items() if _is_long(text)},
        items=picked,
        items_note=note_items(picked, "item", record.paired, "wrong and right ones"),
    )


def _item(by_model: Mapping[str, Sequence[Row]]) -> Item:
    sides = [
        _side(model if len(rows) == 1 else f"{model} ({number})", each)
        for model, several in by_model.items()
        for rows in (several[:_MOST_ROWS],)
        for number, each in enumerate(rows, 1)
    ]
    return Item(cut(next(iter(by_model.values()))[0].get("prompt")), sides)


def _side(name: str, row: Row) -> Side:
    facts = {
        column.replace("_", " "): _fact(value)
        for column, value in row.items()
        if column not in _APART and value is not None
    }
    is_right = row.get("correct")
    verdict = "" if is_right is not None else "measured"
    return Side(name, bool(is_right), facts, "", cut(row.get("completion")), False, verdict)


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value)
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _MOST_FACT else f"{text[:_MOST_FACT]}..."


def _settings(about: About) -> dict[str, str]:
    given = {name: value for name, value in about.settings.items() if value not in (None, [], {})}
    return {name: flat(value) if isinstance(value, dict) else str(value) for name, value in given.items()}


def _is_long(text: str) -> bool:
    """Whether a setting, such as a prompt of several lines, is too long for a list of facts."""
    return "\n" in text.strip() or len(text) > _LONG


PAGE = "evaluation.html.j2"
_FEW, _FEW_IN_GROUP = 100, 30  # items; of 100 a share of one half is known to within 10 points
_PARTS: dict[str, Callable[[Path, Record, Numbers], EvaluationView]] = {
    "policy": of_questions,
    "prompts": of_prompts,
    "pairs": of_pairs,
    "suite": of_suite,
    SCORES: of_scores,
}


def build_evaluation_report(folder: Path, out: Path | None = None) -> Path:
    """Writes the report of an evaluation into its folder, or as `out`, and returns the file."""
    view = evaluation_view(folder, read_record(folder / EVALUATION_FILE))
    return write_page(PAGE, out or folder / "report.html", title=view.title, view=view)


def evaluation_view(folder: Path, record: Record) -> EvaluationView:
    """Arranges what a folder holds."""
    about = record.about
    words = MetricWords(record.glossary, record.sides)
    numbers = collect(record, words)
    own = _PARTS[record.kind](folder / ITEMS_FILE, record, numbers)
    names = [f"{each.name} (control)" if each.role == "control" else each.name for each in about.models]
    command = {"Command": shlex.join(about.command)} if about.command else {}
    values, differences = main_charts(own.main, numbers, own.shares)
    drawn = [*differences, *values]  # what the verdict is about comes first
    few = [*few_items(about.data.questions, about.data.groups, own.noun), *own.few]
    versions = (f"{name} {value}" for name, value in about.versions.items() if value is not None)
    return replace(
        own,
        title=f"{names[0]} against {', '.join(names[1:])}" if names[1:] else f"Evaluation of {names[0]}",
        verdict=list(own.verdict),
        figure=drawn[:1],
        findings=[
            *written_warnings(record.warnings),
            *own.findings,
            *([Finding("Few items", " ".join(few), "note")] if few else ()),
        ],
        few=few,
        headline=arrange(own.main, numbers) if own.main else None,
        compared=count_compared(numbers.differences),
        charts=drawn[1:],
        facts=_facts(about, own),
        models=own.models or Grid(_OF_MODELS, [_row(model) for model in about.models]),
        details={**command, **own.details, **({"Versions": "\n".join(versions)} if about.versions else {})},
        sections=[*(suite_sections(record, words, own.shares) if own.by_suite else ()), *own.sections],
        listings=[*list_changes(record.paired), *own.listings],
    )


def written_warnings(warnings: Iterable[Warned]) -> Iterator[Finding]:
    """Arranges warnings of the evaluation; what holds of several models is said once."""
    models: dict[str, list[str]] = {}
    for warning in warnings:
        models.setdefault(warning.text, []).append(warning.model)
    for text, names in models.items():
        title, _, rest = text.rstrip(".").partition(". ")
        yield Finding(f"{', '.join(names)}: {title}", f"{rest}." if rest else "")


def few_items(count: int, groups: Mapping[str, int], noun: str) -> Iterator[str]:
    """Says if there are too few items, in all or in some groups, to tell much."""
    if 0 < count < _FEW:
        are = f"{noun} were" if count > 1 else f"{noun.removesuffix('s')} was"
        yield f"Only {count} {are} evaluated: a difference below 10 to 20 points cannot be told. Ask a few hundred."
    if small := [f"{name} ({number})" for name, number in groups.items() if number < _FEW_IN_GROUP]:
        yield f"Groups with fewer than {_FEW_IN_GROUP} {noun}: {', '.join(small)}."


def suite_sections(record: Record, words: MetricWords, shares: Collection[str]) -> Iterator[Section]:
    """Yields a section for each suite: a chart for each family of its metrics, and all of them as a table."""
    for name, suite in record.suites.items():
        heading = SUITES.get(name, name.replace("_", " ").capitalize() if record.kind == "suite" else name)
        metrics = list(dict.fromkeys(metric for cells in suite.values() for metric in cells))
        own = {model: all_known(cells) for model, cells in suite.items()}
        differences: dict[str, dict[str, Any]] = {f"{row.model} - {row.baseline}": {} for row in record.comparisons}
        for row in record.comparisons:
            if row.suite == name:
                differences[f"{row.model} - {row.baseline}"][row.metric] = known(row.difference)
        charts: list[Chart] = []
        for family, members in families(metrics).items():
            labels = {
                metric: _within(name, metric.partition("/")[2]) if family else words.label(metric)
                for metric in members
            }
            title = words.family(family) if family else heading
            if name == "best_of_n" or (family and len(members) == 1):
                continue
            charts += draw_metrics(title, "", members, own, labels, shares)
        table = arrange(metrics, Numbers(list(own), own, differences, words))
        yield Section(heading, "", charts, table)


def _within(suite: str, label: str) -> str:
    """Leaves the name of a section out of a label in it: metrics of a reward end in its name, then in a group."""
    return "all" if label == suite else label.removeprefix(f"{suite}/")


def _facts(about: About, own: EvaluationView) -> dict[str, str]:
    data = about.data
    facts = {
        "Data": f"{data.path or 'of the suite'}" + (f" ({data.split})" if data.split else ""),
        "Fingerprint of the data": data.fingerprint[:12],
        own.label or own.noun.capitalize(): f"{data.questions:,}",
        "Groups": flat(data.groups) or "none",
        **({"Rows left out": flat(data.left_out)} if data.left_out else {}),
        **own.facts,
    }
    for role in ("reference", "judge", "verifier"):
        if (source := getattr(about, role, None)) is not None:
            facts[role.capitalize()] = f"{source.path} ({source.fingerprint[:12]})"
    facts |= _decoding(about.profile) if about.profile else {}
    return facts | {"Written": about.created.replace("T", " ")[:19], "Time": words_of_time(about.seconds)}


_OF_MODELS = ("Model", "Role", "Path", "Fingerprint", "Kind", "Type", "Backend", "Time", "From the cache")


def _decoding(profile: AskingProfile) -> dict[str, str]:
    how = f"temperature {profile.temperature}, top_p {profile.top_p}" if profile.temperature else "greedy"
    return {
        "Decoding": f"{how}, {count(profile.num_samples, 'sample')}",
        "Longest completion, tokens": str(profile.max_new_tokens),
        "Seed": str(profile.seed),
    }


def _row(model: EvaluatedModel) -> tuple[str, ...]:
    kind = model.kind + (f" of {model.base}" if model.base else "")
    first = (model.name, model.role, model.path, model.fingerprint[:12], kind)
    return (*first, model.dtype, model.backend, words_of_time(model.seconds), str(model.cached_items))
