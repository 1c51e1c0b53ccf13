"""Prompts of an evaluation as its page shows them: the prompt, and what each model answered."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.evaluation.record.answers import PairedAnswers
from align.evaluation.record.prompts import MeasuredReward
from align.report.charts.axis import format_number
from align.report.evaluation.folder import read_items
from align.report.evaluation.view import Item, Side
from align.report.run.completions import shorten
from rewards.running.protocol import HIGHER, NEITHER

_MOST_ITEMS, _MOST_EACH, _MOST_SIDES, _MOST_VALUES = 40, 10, 4, 8
Row = Mapping[str, Any]


def pick_samples(
    path: Path,
    models: Sequence[str],
    rewards: Sequence[MeasuredReward],
    paired: Sequence[PairedAnswers],
    side: str = HIGHER,
) -> list[Item]:
    """Picks a bounded number of prompts, and reads the text of these only.

    The order: more, less of the first reward than the first baseline, then the lowest and the highest of the first
    model; each spread evenly.

    Args:
        path: `items.parquet`.
        models: Names of the models, the one asked about first.
        rewards: What measured, the first of them first.
        paired: What the models won and lost.
        side: Which values of the first reward are better.
    """
    if not rewards:
        return []
    first = f"reward/{rewards[0].name}"
    rows = [row for row in read_items(path, ("id", "model", first)) if row["model"] == models[0]]
    why: dict[str, str] = {}
    for reason, ids in _reasons(rows, first, models[0], paired, differ_words(side)):
        fresh = [name for name in ids if name not in why]
        step = max(1, -(-len(fresh) // _MOST_EACH))
        why |= dict.fromkeys(fresh[::step][: min(_MOST_EACH, _MOST_ITEMS - len(why))], reason)
    if not why:
        return []
    full: dict[str, dict[str, list[Row]]] = {}
    for row in read_items(path, ids=list(why)):
        full.setdefault(str(row["id"]), {}).setdefault(str(row["model"]), []).append(row)
    return [_item(full[name], name, reason, models, rewards, side) for name, reason in why.items() if name in full]


def differ_words(side: str) -> tuple[str, str]:
    """Says what it is to have more of a reward than a baseline, and less; `side` says which values are better."""
    return ("won", "lost") if side == HIGHER else ("with more", "with less")


def _reasons(
    rows: Sequence[Row], first: str, model: str, paired: Sequence[PairedAnswers], reasons: tuple[str, str]
) -> Iterator[tuple[str, list[str]]]:
    for pair in [pair for pair in paired if (pair.model, pair.metric) == (model, first)][:1]:
        yield reasons[0], pair.wins
        yield reasons[1], pair.losses
    values: dict[str, list[float]] = {}
    for row in rows:
        if row.get(first) is not None:
            values.setdefault(str(row["id"]), []).append(row[first])
    means = {name: sum(each) / len(each) for name, each in values.items()}
    ordered = sorted(means, key=lambda name: means[name])
    yield "lowest", ordered[:_MOST_EACH]
    yield "highest", ordered[::-1][:_MOST_EACH]


def _item(
    by_model: Mapping[str, Sequence[Row]],
    name: str,
    why: str,
    models: Sequence[str],
    rewards: Sequence[MeasuredReward],
    better: str,
) -> Item:
    answered = [model for model in models if model in by_model][:_MOST_SIDES]
    row = by_model[answered[0]][0]
    tags = [str(row["group"])] if row.get("group") else []
    means = {model: _mean(by_model[model], rewards[0].name) for model in answered}
    known = [mean for mean in means.values() if mean is not None]
    best = None if better == NEITHER or not known else max(known) if better == HIGHER else min(known)
    sides = [_side(model, by_model[model], rewards, best) for model in answered]
    text = f"{_cut(row['prompt'])}\n\n{_cut(row['columns'])}"
    return Item(why, name, tags, text, [], sides)


def _side(model: str, rows: Sequence[Row], rewards: Sequence[MeasuredReward], best: float | None) -> Side:
    facts = {reward.name: _written(rows, reward.name) for reward in rewards}
    answers = [row["answer"] for row in rows if row.get("answer") is not None]
    if answers:
        facts["answers"] = ", ".join(map(str, answers[:_MOST_VALUES]))
    mean = _mean(rows, rewards[0].name)
    shown = "no reward" if mean is None else f"{rewards[0].name} {format_number(mean)}"
    return Side(
        model=model,
        is_right=mean is not None and mean == best,
        facts=facts,
        trace="",
        completion=_cut(rows[0].get("completion")),
        is_split=len(set(answers)) > 1,
        verdict=shown,
    )


def _mean(rows: Sequence[Row], reward: str) -> float | None:
    values = [row[f"reward/{reward}"] for row in rows if row.get(f"reward/{reward}") is not None]
    return sum(values) / len(values) if values else None


def _written(rows: Sequence[Row], reward: str) -> str:
    values = [row.get(f"reward/{reward}") for row in rows[:_MOST_VALUES]]
    shown = ", ".join("none" if value is None else format_number(value) for value in values)
    return shown + (f" and {len(rows) - _MOST_VALUES} more" if len(rows) > _MOST_VALUES else "")


def _cut(text: str | None) -> str:
    return shorten(text, "items.parquet")
