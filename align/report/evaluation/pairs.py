"""Policies that were read on pairs of responses, on the page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.evaluation.record import Record
from align.evaluation.record.record import PairedAnswers
from align.report.charts.axis import format_number
from align.report.evaluation.items import Row, cut, note_items, pick_outcomes
from align.report.evaluation.measured import Numbers, verdicts
from align.report.evaluation.shortcuts import heuristic_section
from align.report.evaluation.view import EvaluationView, Item, Option, Side
from align.report.run.finding import Finding, percent

SHARES = ("implicit_reward_accuracy", "judged_", "judge_", "worst_group")  # how their names begin
ACCURACIES = {
    "implicit_reward_accuracy": "Implicit-reward accuracy, whole responses",
    "implicit_reward_accuracy/marked": "Implicit-reward accuracy, marked tokens",
}
_OFTEN = 0.2  # share of pairs where the order of the responses changes a judge's answer


def of_pairs(path: Path, record: Record, numbers: Numbers) -> EvaluationView:
    """Arranges what the page has of its own."""
    measured = list(numbers.values[numbers.names[0]])
    picked = pick_outcomes(path, numbers.names, record.paired, _item, needs=("correct",))
    return EvaluationView(
        noun="pairs",
        main=[metric for metric in measured if metric in ACCURACIES or metric.startswith("judged_win_rate/")],
        shares=[metric for metric in measured if metric.startswith(SHARES)],
        verdict=_verdict(numbers, record.paired),
        findings=_of_judge(numbers.values[numbers.names[0]]),
        facts={"Pairs with marked tokens": f"{record.about.with_marks:,}"},
        items=picked,
        sections=[
            heuristic_section(found, f", {name}" if len(record.heuristics) > 1 else "")
            for name, found in record.heuristics.items()
        ],
        items_note=note_items(picked, "pair", record.paired, "those in the wrong order and in the right one"),
    )


def _verdict(numbers: Numbers, paired: Sequence[PairedAnswers]) -> Iterator[str]:
    model, *baselines = numbers.names
    alone = numbers.of_first("implicit_reward_accuracy")
    if not baselines and alone is not None:
        yield f"{model} prefers the chosen response more than its reference does in {percent(alone)} of pairs."
    changes = [numbers.of_first(f"logp_change/{side}") for side in ("chosen", "rejected")]
    if all(cell is not None and cell.verdict() == "below" for cell in changes):
        chosen, rejected = changes
        yield (
            f"Both responses became less likely than under the reference, in nats: the chosen one {chosen}, the "
            f"rejected one {rejected}."
        )
    if baselines:
        known = {metric: label for metric, label in ACCURACIES.items() if numbers.of_first(metric) is not None}
        yield from verdicts(numbers, known, known, paired)
    for metric, cell in numbers.values[model].items():
        if metric.startswith("judged_win_rate/") and cell is not None:
            other = metric.partition("/")[2]
            told = "" if cell.verdict(than=0.5) else "; no preference can be told"
            yield f"The judge prefers {model} to {other} in {percent(cell)} of pairs, ties half{told}."


def _of_judge(values: Mapping[str, Any]) -> Iterator[Finding]:
    for metric, cell in values.items():
        if metric.startswith("judge_order_disagreement/") and cell is not None and cell.low > _OFTEN:
            yield Finding(
                f"The judge changes its answer with the order in {percent(cell)} of pairs",
                "Such pairs count half, so its win rate is drawn towards one half. A judge that reads better tells "
                "more.",
            )


def _item(by_model: Mapping[str, Sequence[Row]]) -> Item:
    firsts = {model: rows[0] for model, rows in by_model.items()}
    row = next(iter(firsts.values()))
    options = [Option("chosen", cut(row["chosen"]), True), Option("rejected", cut(row["rejected"]), False)]
    return Item(cut(row["prompt"]), [_side(model, each) for model, each in firsts.items()], options)


def _side(model: str, row: Row) -> Side:
    facts = {"margin, nats": format_number(row["margin"])}
    if row.get("margin_marked") is not None:
        facts["margin of marked tokens"] = format_number(row["margin_marked"])
    for key, label in (("kl_per_token/chosen", "KL per token"), ("logp_change/shared", "change of shared tokens")):
        if row.get(key) is not None:
            facts[label] = format_number(row[key])
    for key, value in row.items():
        if key.startswith("judged/") and value is not None:
            facts[f"judged against {key.removeprefix('judged/')}"] = format_number(value)
    text = row.get("completion")
    shown = "(no response was asked for)" if text is None else cut(text)
    return Side(
        model, bool(row["correct"]), facts, "", shown, False, "right order" if row["correct"] else "wrong order"
    )
