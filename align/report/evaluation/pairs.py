"""The page of policies that were read on pairs of responses."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.evaluation.record import ITEMS_FILE
from align.evaluation.record.answers import PairedAnswers
from align.evaluation.record.pairs import PairsRecord
from align.report.charts.axis import format_number
from align.report.evaluation.about import pairs_facts, policy_details, policy_models
from align.report.evaluation.findings import few_items, written_warning
from align.report.evaluation.folder import read_items
from align.report.evaluation.items import list_changes, note_items
from align.report.evaluation.measured import Cells, Words, arrange, count_compared
from align.report.evaluation.policy import collect, headline_charts, suite_sections, title
from align.report.evaluation.shares import compared, in_percent
from align.report.evaluation.view import EvaluationView, Item, Option, Side
from align.report.run.completions import shorten
from align.report.run.finding import Finding, percent
from align.report.thumbnails import Thumbnails

SHARES = ("implicit_reward_accuracy", "judged_", "judge_", "worst_group")  # how their names begin
ACCURACIES = ("implicit_reward_accuracy", "implicit_reward_accuracy/marked")
_MOST_ITEMS, _MOST_EACH, _MOST_SIDES = 40, 12, 4
_OFTEN = 0.2  # share of pairs where the order of the responses changes a judge's answer
Row = Mapping[str, Any]


def pairs_view(folder: Path, record: PairsRecord) -> EvaluationView:
    """Arranges the record of policies that were read on pairs."""
    about, words = record.about, Words(record.glossary)
    names = [model.name for model in about.models]
    values, differences = collect(record)
    headline = [metric for metric in values[names[0]] if metric in ACCURACIES or metric.startswith("judged_win_rate/")]
    shares = [metric for metric in values[names[0]] if metric.startswith(SHARES)]
    picked = _pick(folder / ITEMS_FILE, names, record.paired)
    return EvaluationView(
        title=title(names),
        verdict=list(_verdict(names, values, differences)),
        findings=[
            *map(written_warning, record.warnings),
            *_of_judge(values[names[0]]),
            *few_items(about.data.questions, "pairs"),
        ],
        headline=arrange(headline, values, differences, words),
        compared=count_compared(differences),
        charts=headline_charts(headline, values, differences, words, shares),
        facts=pairs_facts(about),
        models=policy_models(about.models),
        details=policy_details(about),
        sections=list(suite_sections(record, words, shares)),
        listings=list_changes(record.paired),
        items=picked,
        items_note=note_items(len(picked), "pair", record.paired, "those in the wrong order and in the right one"),
    )


def _verdict(names: Sequence[str], values: Cells, differences: Cells) -> Iterator[str]:
    """Says which model puts more pairs in the right order, and what the judge prefers."""
    model = names[0]
    alone = values[model].get(ACCURACIES[0])
    if not names[1:] and alone is not None:
        yield f"{model} prefers the chosen response more than its reference does in {in_percent(alone)} of pairs."
    changes = [values[model].get(f"logp_change/{side}") for side in ("chosen", "rejected")]
    if all(cell is not None and cell.high < 0 for cell in changes):
        chosen, rejected = changes
        yield (
            f"Both responses became less likely than under the reference, in nats: the chosen one {chosen}, the "
            f"rejected one {rejected}."
        )
    for baseline in names[1:]:
        for metric, words in zip(ACCURACIES, ("whole responses", "marked tokens"), strict=True):
            ours, theirs = values[model].get(metric), values[baseline].get(metric)
            difference = differences.get(f"{model} - {baseline}", {}).get(metric)
            if ours is not None and theirs is not None and difference is not None:
                told = compared(model, ours, baseline, theirs, difference, is_share=True)
                yield f"Implicit-reward accuracy, {words}: {told}."
    for metric, cell in values[model].items():
        if metric.startswith("judged_win_rate/") and cell is not None:
            other = metric.partition("/")[2]
            told = "" if cell.low > 0.5 or cell.high < 0.5 else "; no preference can be told"
            yield f"The judge prefers {model} to {other} in {in_percent(cell)} of pairs, ties half{told}."


def _of_judge(values: Mapping[str, Any]) -> Iterator[Finding]:
    for metric, cell in values.items():
        if metric.startswith("judge_order_disagreement/") and cell is not None and cell.value > _OFTEN:
            yield Finding(
                f"The judge changes its answer with the order in {percent(cell.value)} of pairs",
                "Such pairs count half, so its win rate is drawn towards one half. A judge that reads better tells "
                "more.",
            )


def _pick(path: Path, models: Sequence[str], paired: Sequence[PairedAnswers]) -> list[Item]:
    """Picks a bounded number of pairs, and reads the text of these only."""
    items = read_items(path, ("id", "model", "correct"), needs=("correct",))
    rows = [row for row in items if row["model"] == models[0]]
    reasons = [("won", pair.wins) for pair in paired[:1]] + [("lost", pair.losses) for pair in paired[:1]]
    reasons += [
        (word, [str(row["id"]) for row in rows if row["correct"] is is_right])
        for word, is_right in (("wrong", False), ("right", True))
    ]
    why: dict[str, str] = {}
    for reason, ids in reasons:
        fresh = [name for name in ids if name not in why]
        step = max(1, -(-len(fresh) // _MOST_EACH))
        why |= dict.fromkeys(fresh[::step][: min(_MOST_EACH, _MOST_ITEMS - len(why))], reason)
    if not why:
        return []
    full: dict[str, dict[str, Row]] = {}
    for row in read_items(path, ids=list(why)):
        full.setdefault(str(row["id"]), {})[str(row["model"])] = row
    thumbnails = Thumbnails(path.parent)
    return [_item(full[name], name, reason, models, thumbnails) for name, reason in why.items() if name in full]


def _item(by_model: Mapping[str, Row], name: str, why: str, models: Sequence[str], thumbnails: Thumbnails) -> Item:
    answered = [model for model in models if model in by_model][:_MOST_SIDES]
    row = by_model[answered[0]]
    options = [Option("chosen", _cut(row["chosen"]), True), Option("rejected", _cut(row["rejected"]), False)]
    sides, images = [_side(model, by_model[model]) for model in answered], thumbnails.strip(row.get("images"))
    tags = [str(row["group"])] if row.get("group") else []
    return Item(why, name, tags, _cut(row["prompt"]), options, sides, images)


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
    shown = "(no response was asked for)" if text is None else _cut(text)
    return Side(
        model, bool(row["correct"]), facts, "", shown, False, "right order" if row["correct"] else "wrong order"
    )


def _cut(text: str | None) -> str:
    return shorten(text, "items.parquet")
