"""What `align eval` and `align merge` run and print."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from align.console import make_console, make_table, print_table
from align.errors import UserError
from align.evaluation.divided import divided
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE, SCORES, Record
from align.evaluation.record.merging import MERGING_FILE, MergingRecord
from align.evaluation.service import Evaluated, command_words, find_suite, narrow, run_suite
from align.evaluation.statistics.metrics import Estimate
from align.evaluation.suite import Suite
from align.evaluation.suites import explain, glossary
from align.models.model_files import ModelFiles, most_parameters
from align.report.evaluation.items import count
from align.report.evaluation.shortcuts import shortcut_sections
from align.report.evaluation.view import Grid, Section
from align.report.merging import build_merging_report, merging_view
from align.threads import use_threads

_MOST_ROWS = 12


def run(named: Suite[...] | None, asked: Any, given: set[str]) -> None:
    """Evaluates by the suite that is named, or by one that `asked`, the options of all suites, tell."""
    if named is None and (asked.model is None) == (asked.reward_model is None):
        raise UserError("Give `--model` (a policy) or `--reward_model`, one of the two.")
    models = [asked.model or asked.reward_model] if named is None else [asked.asked]
    use_threads(most_parameters(map(ModelFiles, models)))
    with divided() as placed:
        suite = find_suite(asked) if named is None else named
        options = placed(narrow(suite, asked, given) if named is None else asked)
        show(run_suite(suite, options, given, command_words(None if named is None else named.name, asked, given)))


def show(evaluated: Evaluated) -> None:
    """Prints what an evaluation found, and where it is."""
    out = evaluated.out
    show_evaluation(evaluated.record)
    for sentence in (*evaluated.notes, "", *evaluated.verdict):
        print(sentence)
    rows = f", all {evaluated.items} in {out / ITEMS_FILE}" if (out / ITEMS_FILE).exists() else ""
    print(f"\nAll numbers are in {out / EVALUATION_FILE}{rows}.\nThe report is {evaluated.page}.")


def show_evaluation(record: Record) -> None:
    """Prints every metric with its interval, differences, and what to be careful about."""
    names = record.names
    console = make_console(least=max(110, 44 + 24 * (2 * len(names) - 1)))
    differences = {(each.suite, each.metric, each.baseline): each.difference for each in record.comparisons}
    for suite, summaries in record.suites.items():
        console.print(_table(suite, names, summaries, differences))
        console.print()
    for warning in record.warnings:
        console.print(f"[yellow]{escape(warning.model)}: {escape(warning.text)}[/yellow]", soft_wrap=True)
    for name, found in record.scores.items():
        if found.scored is not None:
            for missing, why, _ in found.scored.unscored.reasons():
                console.print(f"{name}: {count(missing, 'pair')} {why}, and left out")
            if found.scored.texts_in_template:
                console.print(
                    f"{name}: prompts got its chat template. If it learnt from texts, give `--prompt_format data`."
                )
    for section in shortcut_sections(record.scores):
        _print(section)


def _table(
    suite: str,
    names: list[str],
    summaries: Mapping[str, Mapping[str, Estimate]],
    differences: Mapping[tuple[str, str, str], Estimate],
) -> Table:
    table, known = make_table(), glossary("reward_model") if suite == SCORES else {}
    titles = {name: each.label for name, each in known.items() if name.endswith(("/", "_"))}  # of families
    table.add_column(escape("95 % intervals over items" if titles else suite), style="bold", overflow="fold")
    for name in [*names, *(f"{names[0]} - {baseline}" for baseline in names[1:])]:
        table.add_column(escape(name), justify="right", overflow="fold")
    table.add_column("n", justify="right")
    titled = None
    for metric, first in summaries[names[0]].items():
        prefix = next((prefix for prefix in titles if metric.startswith(prefix)), None)
        if prefix is not None and prefix != titled:
            table.add_row(f"[dim]{titles[prefix]}[/dim]")
        titled = prefix
        cells = [summaries[name].get(metric) for name in names]
        cells += [differences.get((suite, metric, baseline)) for baseline in names[1:]]
        meaning = None if titles else explain(metric)
        style = "dim" if meaning is not None and meaning.better is None else None
        label = metric if prefix is None else f"  {metric.removeprefix(prefix)}"
        table.add_row(escape(label), *map(escape, map(_cell, cells)), f"{first.n:,}", style=style)
    return table


def _cell(cell: Estimate | None) -> str:
    return "" if cell is None else str(cell)


def _print(section: Section) -> None:
    """Prints a section of the page: how to read it, its table, and its grids as far as they go on a screen."""
    make_console().print(f"\n{escape(section.title)}. {escape(section.note)}", soft_wrap=True)
    grids = [Grid(grid.columns, grid.rows[:_MOST_ROWS]) for grid in section.grids]
    if (of_all := section.table) is not None:
        rows = [(row.label, row.meaning, *map(_cell, row.cells)) for row in of_all.rows]
        grids.insert(0, Grid(("", "", *of_all.columns), rows))
    for grid in grids:
        print_table(grid.columns, grid.rows, least=160)
    if (more := max((len(grid.rows) for grid in section.grids), default=0) - _MOST_ROWS) > 0:
        print(f"and {more:,} more in the report")


def show_merging(merging: MergingRecord, out: Path) -> None:
    """Prints what each weight is worth, and which one was picked, and builds the page."""
    view = merging_view(merging)
    for section in view.sections:
        _print(section)
    for sentence in (*view.verdict, *(f"{each.title}. {each.detail}" for each in view.findings)):
        print(sentence)
    print(f"\nAll numbers are in {out / MERGING_FILE}, the report is {build_merging_report(out)}.")
