"""The tables that an evaluation of policies prints."""

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from align.console import make_console, make_table
from align.evaluation.record.answers import Answers, PairedAnswers
from align.evaluation.record.policies import ModelAudit, PolicyRecord
from align.evaluation.record.prompts import PromptsRecord
from align.evaluation.statistics.glossary import explain
from align.evaluation.statistics.metrics import Estimate
from align.report.evaluation.abstention import name_difficulty
from rewards.running.protocol import HIGHER

_LISTED = 8  # wins and losses that are printed by id
_MANY = {"win": "wins", "loss": "losses"}
_LEAST = 1e-99  # of p-values, one of which may be too small for a float


def show_evaluation(record: Answers) -> None:
    """Prints every metric with its interval, differences, wins and losses, and what to be careful about."""
    names = [model.name for model in record.about.models]
    console = make_console(least=max(110, 44 + 24 * (2 * len(names) - 1)))
    differences = {(each.suite, each.metric, each.baseline): each.difference for each in record.comparisons}
    sides = record.sides if isinstance(record, PromptsRecord) else {}
    for suite, summaries in record.suites.items():
        console.print(_table(suite, names, summaries, differences))
        console.print()
    for paired in record.paired:
        side = sides.get(paired.metric.partition("/")[2], HIGHER)
        console.print(_sentence(paired, ("win", "loss") if side == HIGHER else ("higher", "lower")), soft_wrap=True)
    for audit in record.audits if isinstance(record, PolicyRecord) else ():
        console.print(_audit(audit), soft_wrap=True)
    for warning in record.warnings:
        console.print(f"[yellow]{escape(warning.model)}: {escape(warning.text)}[/yellow]", soft_wrap=True)


def _table(
    suite: str,
    names: list[str],
    summaries: Mapping[str, Mapping[str, Estimate]],
    differences: Mapping[tuple[str, str, str], Estimate],
) -> Table:
    table = make_table()
    table.add_column(escape(suite), style="bold", overflow="fold")
    for name in names:
        table.add_column(escape(name), justify="right", overflow="fold")
    for baseline in names[1:]:
        table.add_column(escape(f"{names[0]} - {baseline}"), justify="right", overflow="fold")
    table.add_column("n", justify="right")
    for metric, first in summaries[names[0]].items():
        cells = [summaries[name].get(metric) for name in names]
        cells += [differences.get((suite, metric, baseline)) for baseline in names[1:]]
        table.add_row(escape(metric), *map(_cell, cells), f"{first.n:,}", style=_style(metric))
    return table


def _cell(cell: Estimate | None) -> str:
    return "" if cell is None else escape(str(cell))


def _style(metric: str) -> str | None:
    meaning = explain(metric)
    return "dim" if meaning is not None and meaning.better is None else None


def _sentence(paired: PairedAnswers, nouns: tuple[str, str]) -> str:
    wins, losses = paired.wins, paired.losses
    p = paired.mcnemar_p
    p_value = "" if p is None else f", McNemar p = {p:.2g}" if p >= _LEAST else f", McNemar p below {_LEAST:g}"
    reward = paired.metric.partition("/")[2]
    others = f"{paired.num_both:,} both right, {paired.num_neither:,} neither"
    if reward or not paired.says_right:  # a value, or a share of several samples: none is just right or wrong
        others = f"{paired.num_both + paired.num_neither:,} equal"
    lines = [
        f"{reward}{': ' if reward else ''}{paired.model} against {paired.baseline}: {len(wins):,} "
        f"{_MANY.get(nouns[0], nouns[0]) if len(wins) != 1 else nouns[0]}, {len(losses):,} "
        f"{_MANY.get(nouns[1], nouns[1]) if len(losses) != 1 else nouns[1]}, {others}{p_value}."
    ]
    for word, ids in zip((_MANY.get(noun, noun).capitalize() for noun in nouns), (wins, losses), strict=True):
        if ids:
            more = f" and {len(ids) - _LISTED:,} more" if len(ids) > _LISTED else ""
            lines.append(f"  {word}: {', '.join(ids[:_LISTED])}{more}")
    return escape("\n".join(lines))


def _audit(audit: ModelAudit) -> str:
    lines = [
        f"{audit.model}: verifier {audit.verifier}",
        f"  true positive rate {audit.true_positive_rate}",
        f"  false positive rate {audit.false_positive_rate}",
        f"  prior {audit.prior}",
        f"  ceiling {audit.ceiling}",
    ]
    for each in audit.optimal_attempts:
        attempts = "without end" if each.attempts is None else f"{each.attempts:,}"
        lines.append(f"  cost {each.cost:g} of a wrong one: best number of attempts {attempts}")
    for part in audit.by_difficulty:
        noun = "question" if part.questions == 1 else "questions"
        who = f"{part.questions:,} {noun}, {name_difficulty(part)}"
        lines.append(f"  {who}: false positive rate {part.false_positive_rate}")
    for rule in audit.if_accepted:
        lines.append(
            f"  first accepted of {rule.attempts:,}: answers {rule.coverage} of the questions, right {rule.accuracy}"
        )
    for chosen in audit.above_threshold:
        measured = f"answers {chosen.coverage} of the other half, right {chosen.accuracy}"
        told = "no threshold reaches it" if chosen.threshold is None else f"from {chosen.threshold:.4g}, {measured}"
        lines.append(f"  best score for precision {chosen.precision:g}: {told}")
    return escape("\n".join(lines))
